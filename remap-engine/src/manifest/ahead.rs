//! Begins the digests of files that CRIU still writes.
//!
//! Most of a checkpoint is memory, and who pauses a container for its checkpoint lets it run again
//! only when every file has its digest and is on disk. CRIU writes `pages-N.img` from its beginning to
//! its end: each is opened once, empty, and pages are only moved to where the last ones ended
//! (`open_page_local_xfer`, `write_pages_loc`); deduplication makes holes in the files of an *earlier*
//! dump, in a directory of their own (`dedup_one_iovec`). So these files can be read, and sent to the
//! disk, behind CRIU: a file is longer only when the bytes are there (`generic_perform_write` of the
//! kernel).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Durability;
use super::digest::{CHUNK, open};
use crate::sys;

/// CRIU is given so much time to write another [`CHUNK`].
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// So many files are held open: there is one for each task.
const FILES: usize = 32;

/// The beginnings of digests. The default has none.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    durability: Durability,
    ended: AtomicBool,
    begun: Mutex<HashMap<PathBuf, Begun>>,
}

/// The digest of the first bytes of a file.
#[derive(Debug)]
pub(super) struct Begun {
    /// Held open, so that no other file gets its number.
    file: File,
    hash: Sha256,
    /// Bytes in `hash`.
    pub(super) size: u64,
}

impl Ahead {
    /// Follows the memory pages that CRIU writes into `dir` from now on, until the digests are asked
    /// for or this is dropped. Where there can be no thread for it, nothing is begun.
    pub(crate) fn follow(dir: &Path, durability: Durability) -> Self {
        let ahead = Self::nothing(durability);
        let (shared, dir) = (Arc::clone(&ahead.0), dir.to_owned());
        let thread = std::thread::Builder::new().name("digests".to_owned());
        if let Err(error) = thread.spawn(move || shared.follow(&dir)) {
            tracing::debug!(%error, "no digest is begun ahead");
        }
        ahead
    }

    /// Nothing is begun.
    pub(crate) fn nothing(durability: Durability) -> Self {
        Self(Arc::new(Shared {
            durability,
            ..Shared::default()
        }))
    }

    /// Whether what has a digest is sent to the disk.
    pub(crate) fn durability(&self) -> Durability {
        self.0.durability
    }

    /// What was begun; the files are not followed any more.
    pub(super) fn end(&self) -> HashMap<PathBuf, Begun> {
        self.0.ended.store(true, Ordering::SeqCst);
        std::mem::take(&mut *self.0.lock())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, dir: &Path) {
        loop {
            let mut begun = self.lock();
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let more = find(dir, &mut begun).and_then(|()| go_on(&mut begun, self.durability));
            drop(begun);
            match more {
                Ok(true) => {}
                Ok(false) => std::thread::sleep(LOOK_AGAIN_AFTER),
                // Whoever makes the digests has to read the same files, and says what is wrong.
                Err(error) => {
                    tracing::debug!(%error, "digests are not begun ahead any more");
                    return;
                }
            }
        }
    }
}

/// Adds the files that have become worth it since.
fn find(dir: &Path, begun: &mut HashMap<PathBuf, Begun>) -> io::Result<()> {
    if begun.len() >= FILES {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_pages = name.starts_with(b"pages-") && name.ends_with(b".img");
        if !is_pages || begun.contains_key(&entry.path()) || begun.len() >= FILES {
            continue;
        }
        let metadata = entry.metadata()?;
        if metadata.is_file() && metadata.len() >= CHUNK as u64 {
            let one = Begun {
                file: open(&entry.path())?,
                hash: Sha256::new(),
                size: 0,
            };
            begun.insert(entry.path(), one);
        }
    }
    Ok(())
}

/// Takes one chunk of each file that has so much more. Returns whether there may be another.
fn go_on(begun: &mut HashMap<PathBuf, Begun>, durability: Durability) -> io::Result<bool> {
    let mut chunk = Vec::new();
    let mut more = false;
    for one in begun.values_mut() {
        let length = one.file.metadata()?.len();
        if length.saturating_sub(one.size) < CHUNK as u64 {
            continue;
        }
        chunk.resize(CHUNK, 0);
        one.file.read_exact_at(&mut chunk, one.size)?;
        one.hash.update(&chunk);
        if durability == Durability::OnDisk {
            sys::start_writeback(&one.file, one.size, CHUNK as u64);
        }
        one.size += CHUNK as u64;
        more = true;
    }
    Ok(more)
}

impl Begun {
    /// The digest so far and how many bytes it is of, if it is of `file`; `None` if that is another
    /// file or has become shorter.
    pub(super) fn of(&self, file: &File) -> io::Result<Option<(Sha256, u64)>> {
        let (own, theirs) = (self.file.metadata()?, file.metadata()?);
        let is_it = (own.dev(), own.ino()) == (theirs.dev(), theirs.ino());
        let is_whole = theirs.len() >= self.size;
        Ok((is_it && is_whole).then(|| (self.hash.clone(), self.size)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Instant;

    use super::super::digest;
    use super::*;

    /// Bytes that are not the same anywhere.
    fn bytes(count: usize) -> Vec<u8> {
        let words = (0..count / 4 + 1).map(|word| u32::try_from(word).unwrap_or_default());
        let mut bytes: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
        bytes.truncate(count);
        bytes
    }

    /// Waits until so many bytes are in the digest of a file.
    fn wait_for(ahead: &Ahead, path: &Path, size: u64) {
        let begun = Instant::now();
        while ahead.0.lock().get(path).is_none_or(|one| one.size < size) {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody reads");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The digests are those of the files as they are, whatever was begun.
    fn assert_right(dir: &Path, ahead: &Ahead) {
        let found = digest::directory(dir, ahead, |_| true).unwrap();
        let anew = digest::directory(dir, &Ahead::default(), |_| true).unwrap();
        assert_eq!(found, anew);
    }

    #[test]
    fn a_file_is_read_while_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let ahead = Ahead::follow(dir.path(), Durability::OnDisk);
        let path = dir.path().join("pages-7.img");
        let mut file = File::create(&path).unwrap();
        let all = bytes(5 * CHUNK + 5);
        for part in all.chunks(CHUNK - 4096) {
            file.write_all(part).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        wait_for(&ahead, &path, 5 * CHUNK as u64);
        std::fs::write(dir.path().join("core-1.img"), b"x").unwrap();
        std::fs::write(dir.path().join("pages-8.img"), b"x").unwrap();
        assert_right(dir.path(), &ahead);
    }

    #[test]
    fn nothing_is_read_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pages-1.img");
        std::fs::write(&path, bytes(2 * CHUNK)).unwrap();
        let ahead = Ahead::follow(dir.path(), Durability::OnDisk);
        wait_for(&ahead, &path, 2 * CHUNK as u64);
        // What has been read is not seen again: this is the digest of other bytes.
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"other", 0).unwrap();
        let found = digest::directory(dir.path(), &ahead, |_| true).unwrap();
        let anew = digest::directory(dir.path(), &Ahead::default(), |_| true).unwrap();
        assert_ne!(found, anew);
    }

    #[test]
    fn another_file_or_a_shorter_one_is_read_anew() {
        for replaced in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("pages-1.img");
            std::fs::write(&path, bytes(2 * CHUNK)).unwrap();
            let ahead = Ahead::follow(dir.path(), Durability::OnDisk);
            wait_for(&ahead, &path, 2 * CHUNK as u64);
            if replaced {
                std::fs::remove_file(&path).unwrap();
            }
            let other = if replaced { 3 * CHUNK } else { CHUNK };
            std::fs::write(&path, vec![7; other]).unwrap();
            assert_right(dir.path(), &ahead);
        }
    }

    #[test]
    fn only_so_many_files_are_held_open() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..FILES + 2 {
            let file = File::create(dir.path().join(format!("pages-{number}.img"))).unwrap();
            file.set_len(CHUNK as u64).unwrap();
        }
        let mut begun = HashMap::new();
        find(dir.path(), &mut begun).unwrap();
        find(dir.path(), &mut begun).unwrap();
        assert_eq!(begun.len(), FILES);
    }

    #[test]
    fn it_ends_with_its_directory_and_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let owned = Ahead::follow(dir.path(), Durability::OnDisk);
        let without_owner = Arc::downgrade(&owned.0);
        drop(owned);
        let without_directory = Ahead::follow(&dir.path().join("gone"), Durability::Volatile);
        let begun = Instant::now();
        while without_owner.strong_count() > 0 || Arc::strong_count(&without_directory.0) > 1 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
