//! A descriptor that the kernel makes readable when something happens.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use tokio::io::unix::AsyncFd;

/// The descriptor; what is read from it does not matter.
#[derive(Debug)]
pub(super) struct Signal(AsyncFd<OwnedFd>);

impl Signal {
    /// Waits on `fd`, which does not block.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        // The safe way is deprecated, as it is unsound for other types.
        // SAFETY: an `OwnedFd` names one open descriptor for as long as it lives.
        let registered = unsafe { AsyncFd::register(fd) };
        Ok(Self(registered?))
    }

    /// Waits until there is something, and takes it.
    pub(super) async fn taken(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(taken) = ready.try_io(|_| self.take()) {
                return taken;
            }
        }
    }

    /// Takes what there is; nothing is [`io::ErrorKind::WouldBlock`].
    pub(super) fn take(&self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        rustix::io::read(&self.0, &mut bytes)?;
        Ok(())
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
