//! cgroup v1: an event descriptor that the memory controller signals (the kernel's
//! admin-guide/cgroup-v1/memory.rst, "OOM Control").

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::signal::Signal;

/// The watch.
#[derive(Debug)]
pub(crate) struct Watch {
    event: Signal,
    control: PathBuf,
}

impl Watch {
    /// Watches the cgroup directory `path` of the memory controller.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let state = File::open(path.join("memory.oom_control"))?;
        let control = path.join("cgroup.event_control");
        let registration = format!("{} {}", event.as_raw_fd(), state.as_raw_fd());
        std::fs::write(&control, registration)?;
        Ok(Self {
            event: Signal::new(OwnedFd::from(event))?,
            control,
        })
    }

    pub(super) async fn happened(&mut self) -> io::Result<()> {
        self.event.taken().await?;
        self.check()
    }

    pub(super) fn has_happened(&mut self) -> bool {
        self.event.take().is_ok() && self.check().is_ok()
    }

    /// The kernel signals the end of the cgroup, too.
    fn check(&self) -> io::Result<()> {
        std::fs::metadata(&self.control).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A directory that looks like a cgroup, and a watch on it.
    fn watched() -> (tempfile::TempDir, Watch) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["memory.oom_control", "cgroup.event_control"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let watch = Watch::new(dir.path()).unwrap();
        (dir, watch)
    }

    fn signal(watch: &Watch) {
        rustix::io::write(&watch.event, &1_u64.to_ne_bytes()).unwrap();
    }

    #[tokio::test]
    async fn what_is_signalled_happened_once() {
        let (dir, mut watch) = watched();
        assert!(!watch.has_happened());
        signal(&watch);
        watch.happened().await.unwrap();
        assert!(!watch.has_happened());
        signal(&watch);
        assert!(watch.has_happened());
        let registered = std::fs::read_to_string(dir.path().join("cgroup.event_control"));
        let event = watch.event.as_fd().as_raw_fd().to_string();
        assert!(registered.unwrap().starts_with(&format!("{event} ")));
    }

    #[tokio::test]
    async fn the_end_of_the_cgroup_is_none() {
        let (dir, mut watch) = watched();
        dir.close().unwrap();
        signal(&watch);
        assert!(watch.happened().await.is_err());
        signal(&watch);
        assert!(!watch.has_happened());
    }
}
