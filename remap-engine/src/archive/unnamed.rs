//! A file that is there as a whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::ArchiveError;
use super::partial::{partial_name, sync_parent};
use crate::private;
use crate::sys;

/// Zeros are compared, and left out, in such units.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// So many zeros become a hole; a hole for fewer costs more than it saves.
const HOLE: usize = 64 << 10;

/// After so many bytes the kernel begins to send them to the disk, so that there is less to wait for in
/// the end.
const WRITEBACK: u64 = 8 << 20;

/// A file (mode 0600) that has no name until it is complete, so that nothing stays of it when its
/// process is killed. Where the file system has no such files, it has the name `.NAME.partial`.
///
/// Long runs of zeros become holes.
#[derive(Debug)]
pub(super) struct Unnamed {
    file: File,
    position: u64,
    /// The kernel sends bytes to the disk up to there.
    sent: u64,
    /// Where it is for now, if it has a name.
    partial: Option<PathBuf>,
    destination: PathBuf,
}

impl Unnamed {
    pub(super) fn beside(destination: &Path) -> Result<Self, ArchiveError> {
        let made = make(destination);
        let (file, partial) = made.map_err(ArchiveError::io("make", destination))?;
        Ok(Self {
            file,
            position: 0,
            sent: 0,
            partial,
            destination: destination.to_owned(),
        })
    }

    /// Bytes so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Replaces bytes that were written before.
    pub(super) fn patch(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Forgets what was written from there on.
    pub(super) fn truncate(&mut self, at: u64) -> io::Result<()> {
        self.file.set_len(at)?;
        self.file.seek(SeekFrom::Start(at))?;
        self.position = at;
        Ok(())
    }

    /// Gives it its name, on the disk, too, and its length in bytes.
    pub(super) fn complete(mut self) -> Result<u64, ArchiveError> {
        let whole = self.file.set_len(self.position);
        whole
            .and_then(|()| self.file.sync_all())
            .map_err(ArchiveError::io("write", &self.destination))?;
        self.link().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ArchiveError::Exists(self.destination.clone()),
            _ => ArchiveError::io("make", &self.destination)(error),
        })?;
        sync_parent(&self.destination)?;
        Ok(self.position)
    }

    fn link(&mut self) -> io::Result<()> {
        if let Some(partial) = self.partial.take() {
            let linked = std::fs::hard_link(&partial, &self.destination);
            private::remove_if_exists(&partial)?;
            return linked;
        }
        // linkat(2): for those who may not use AT_EMPTY_PATH.
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(
            rustix::fs::CWD,
            own,
            rustix::fs::CWD,
            &self.destination,
            rustix::fs::AtFlags::SYMLINK_FOLLOW,
        )
        .map_err(io::Error::from)
    }
}

impl Write for Unnamed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = zeros_at_start(rest);
            let length = if zeros >= HOLE {
                self.position += zeros as u64;
                self.file.seek(SeekFrom::Start(self.position))?;
                zeros
            } else {
                let data = zeros + data_at_start(rest.get(zeros..).unwrap_or_default());
                self.file.write_all(rest.get(..data).unwrap_or_default())?;
                self.position += data as u64;
                data
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        let waiting = self.position.saturating_sub(self.sent);
        if waiting >= WRITEBACK {
            sys::start_writeback(&self.file, self.sent, waiting);
            self.sent = self.position;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial
            && let Err(error) = private::remove_if_exists(partial)
        {
            let path = partial.display();
            tracing::error!(%path, %error, "cannot remove a partial archive; remove it by hand");
        }
    }
}

/// Bytes of the blocks of zeros that it begins with.
fn zeros_at_start(bytes: &[u8]) -> usize {
    let zeros = bytes.chunks_exact(BLOCK);
    zeros.take_while(|block| *block == ZEROS).count() * BLOCK
}

/// Bytes before the next run of zeros that is worth a hole.
fn data_at_start(bytes: &[u8]) -> usize {
    let mut zeros = 0;
    for (index, block) in bytes.chunks_exact(BLOCK).enumerate() {
        zeros = if block == ZEROS { zeros + BLOCK } else { 0 };
        if zeros >= HOLE {
            return (index + 1) * BLOCK - zeros;
        }
    }
    bytes.len()
}

fn make(destination: &Path) -> io::Result<(File, Option<PathBuf>)> {
    let parent = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made = OpenOptions::new()
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(parent);
    match made {
        // open(2), O_TMPFILE: what file systems without it, and old kernels, say.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            let partial = partial_name(destination);
            private::remove_if_exists(&partial)?;
            Ok((private::create_file(&partial)?, Some(partial)))
        }
        made => Ok((made?, None)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn zeros_become_holes_and_nothing_is_there_before_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut bytes = vec![0_u8; 4 << 20];
        bytes[100] = 1;
        bytes[2 << 20..(2 << 20) + 9000].fill(7);
        let mut file = Unnamed::beside(&path).unwrap();
        file.write_all(b"head").unwrap();
        for part in bytes.chunks(1_000_000) {
            file.write_all(part).unwrap();
        }
        file.patch(1, b"EA").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(file.complete().unwrap(), (4 << 20) + 4);
        let found = std::fs::read(&path).unwrap();
        assert!(found.starts_with(b"hEAd") && found[4..] == bytes);
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(metadata.blocks() * 512 < 1 << 20, "{}", metadata.blocks());
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = Unnamed::beside(&path).unwrap();
        std::fs::write(&path, b"other").unwrap();
        file.write_all(b"new").unwrap();
        let error = file.complete().unwrap_err();
        assert!(matches!(error, ArchiveError::Exists(_)), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"other");
    }
}
