//! FIFOs that are only a place in the file system to who holds them.

use rustix::fs::FileType;

use super::{Found, Held, Kind};
use crate::process::{ProcessError, UseKind};

/// `O_PATH` (open(2)), on all architectures for which there are containers.
const O_PATH: u32 = 0o10_000_000;

/// CRIU asks every FIFO for the size of its pipe, which a descriptor made with `O_PATH` does not
/// answer (`dump_one_pipe_data`).
pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    for (process, one) in held.uses() {
        let is_fifo = FileType::from_raw_mode(one.mode) == FileType::Fifo;
        let is_named = one.name.as_encoded_bytes().starts_with(b"/");
        if let UseKind::Fd(fd) = one.kind
            && is_fifo
            && is_named
            && let Some(fdinfo) = process.fdinfo(fd)?
            && flags(&fdinfo).is_some_and(|flags| flags & O_PATH != 0)
        {
            found.held(Kind::PathOfFifo, process, one);
        }
    }
    Ok(())
}

/// The flags of a descriptor, an octal number (proc_pid_fdinfo(5)).
fn flags(fdinfo: &[u8]) -> Option<u32> {
    let mut lines = fdinfo.split(|byte| *byte == b'\n');
    let flags = lines.find_map(|line| line.strip_prefix(b"flags:"))?;
    let flags = std::str::from_utf8(flags.trim_ascii()).ok()?;
    u32::from_str_radix(flags, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags};
    use std::os::fd::AsRawFd;

    #[test]
    fn the_kernel_shows_which_descriptor_is_only_a_path() {
        for (wanted, expected) in [(OFlags::PATH, true), (OFlags::RDONLY, false)] {
            let fd = rustix::fs::openat(CWD, "/", wanted, Mode::empty()).unwrap();
            let text = std::fs::read(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
            assert_eq!(flags(&text).unwrap() & O_PATH != 0, expected);
        }
        assert_eq!(flags(b"pos:\t0\n"), None);
        assert_eq!(flags(b"flags:\t9\xff\n"), None);
    }
}
