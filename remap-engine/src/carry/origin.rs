//! Which inode something is, or was on another host.

use std::io;

use rustix::fs::{AtFlags, StatxFlags};

use super::entry::Timestamp;
use super::headers::timestamp;
use super::tree::Pinned;
use super::{fields, pax};

/// An inode of one file system. A number may be given anew; together with the time of birth it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Its number.
    pub inode: u64,
    born: (i64, u32),
}

impl Origin {
    /// That of an inode; `None` if the kernel does not say when it was made (tmpfs does since
    /// Linux 6.0).
    pub(super) fn of(pinned: &Pinned) -> io::Result<Option<Self>> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let stat = rustix::fs::statx(pinned.fd(), "", AtFlags::EMPTY_PATH, wanted)?;
        let known = StatxFlags::from_bits_truncate(stat.stx_mask).contains(StatxFlags::BTIME);
        Ok(known.then_some(Self {
            inode: stat.stx_ino,
            born: (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec),
        }))
    }

    /// As it stands in an archive: the number and the time.
    pub(super) fn record(&self) -> String {
        let (seconds, nanoseconds) = self.born;
        let born = timestamp(Timestamp {
            seconds,
            nanoseconds,
        });
        format!("{} {born}", self.inode)
    }

    /// Reads it; `None` for anything else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let space = text.iter().position(|byte| *byte == b' ')?;
        let (inode, born) = text.split_at_checked(space)?;
        let born = fields::timestamp(born.get(1..)?)?;
        Some(Self {
            inode: pax::number(inode)?,
            born: (born.seconds, born.nanoseconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;
    use std::path::{Path, PathBuf};

    proptest! {
        #[test]
        fn a_record_comes_back(inode: u64, seconds in -1_000_000_000_i64..1 << 40, nanoseconds in 0..1_000_000_000_u32) {
            let origin = Origin { inode, born: (seconds, nanoseconds) };
            prop_assert_eq!(Origin::parse(origin.record().as_bytes()), Some(origin));
        }

        #[test]
        fn garbage_is_none(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Origin::parse(&text);
        }
    }

    #[test]
    fn a_file_has_its_own_whatever_its_name() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::write(dir.path().join("a"), b"").unwrap();
        std::fs::write(dir.path().join("b"), b"").unwrap();
        std::fs::hard_link(dir.path().join("a"), dir.path().join("c")).unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let tree = super::super::tree::Tree::below(fd.as_fd(), PathBuf::new()).unwrap();
        let of = |name: &str| Origin::of(&tree.pin(Path::new(name)).unwrap()).unwrap();
        assert!(of("a").is_some());
        assert_eq!(of("a"), of("c"));
        assert_ne!(of("a"), of("b"));
    }
}
