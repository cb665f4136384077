//! Unix sockets that are bound to names in a directory.
//!
//! A process that listens holds an inode of the kernel's socket file system, not the one of the
//! name, so that a look at its descriptors does not show that it uses the directory. Only the
//! kernel's answer to a connect(2) tells whether somebody is there (unix(7)).

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::os::unix::fs::FileTypeExt;

/// The sockets below `dir` on which somebody listens or receives. Symbolic links are not followed.
///
/// Whoever listens sees a connection that is closed at once; of other kinds of sockets nothing is
/// seen.
///
/// # Errors
/// The directory cannot be listed.
pub fn live(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut live = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = match std::fs::read_dir(&dir) {
            // It vanished meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_socket() && answers(&dir, Path::new(&entry.file_name()))? {
                live.push(entry.path());
            }
        }
    }
    Ok(live)
}

/// Whether a connect is answered by anything but a refusal. The name is reached by way of the
/// directory's descriptor, as a socket's path has at most 107 bytes.
fn answers(dir: &Path, name: &Path) -> io::Result<bool> {
    let dir = std::fs::File::open(dir)?;
    let path = Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    // A name that is too long even so can have been bound by nobody.
    let Ok(address) = UnixAddr::new(&path) else {
        return Ok(false);
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &address) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(false),
        // EPROTOTYPE is that of a datagram socket, EAGAIN that of a listener with a full queue.
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn those_that_somebody_holds_are_told_from_dead_names() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let path = |name: &str| inner.join(name);
        drop(UnixListener::bind(path("dead")).unwrap());
        assert_eq!(live(dir.path()).unwrap(), Vec::<PathBuf>::new());
        let _stream = UnixListener::bind(path("stream")).unwrap();
        let _datagram = UnixDatagram::bind(path("datagram")).unwrap();
        let mut found = live(dir.path()).unwrap();
        found.sort();
        assert_eq!(found, [path("datagram"), path("stream")]);
    }
}
