//! What is done with the files of an archive as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Entry;
use super::problem::Problem;
use crate::archive::error::{ArchiveError, Fault};
use crate::archive::{CHUNK, Progress};
use crate::private;

/// Takes file after file.
pub(super) struct Sink<'s, 'p> {
    /// Where files are made; none are, if there is none.
    dir: Option<&'s Path>,
    /// What has to come, by name.
    expected: BTreeMap<&'s str, &'s Entry>,
    progress: &'s mut Progress<'p>,
    chunk: Vec<u8>,
    done: u64,
    come: BTreeSet<&'s str>,
    /// All that was wrong so far.
    faults: Vec<Fault>,
}

impl<'s, 'p> Sink<'s, 'p> {
    pub(super) fn new(
        dir: Option<&'s Path>,
        entries: impl Iterator<Item = &'s Entry>,
        progress: &'s mut Progress<'p>,
    ) -> Self {
        Self {
            dir,
            expected: entries.map(|entry| (entry.name.as_str(), entry)).collect(),
            progress,
            chunk: vec![0; CHUNK],
            done: 0,
            come: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// Notes what is wrong.
    pub(super) fn fault(&mut self, object: &str, what: impl Into<String>) {
        self.faults.push(Fault {
            object: object.to_owned(),
            what: what.into(),
        });
    }

    /// Whether nothing has to be read any more: what has a fault is not unpacked.
    pub(super) fn is_done(&self) -> bool {
        self.dir.is_some() && !self.faults.is_empty()
    }

    /// Whether files are made of it.
    pub(super) fn is_unpacking(&self) -> bool {
        self.dir.is_some()
    }

    /// All that was wrong: also what has not come.
    pub(super) fn end(mut self) -> Vec<Fault> {
        let missing: Vec<&str> = self.expected.keys().copied().collect();
        for name in missing {
            if !self.come.contains(name) && !self.is_done() {
                self.fault(name, "is missing");
            }
        }
        self.faults
    }

    /// A file of the plain form.
    pub(super) fn file(&mut self, name: &str, from: &mut dyn Read) -> Result<(), Problem> {
        self.take(name, from, self.dir)
    }

    /// A file that is not unpacked.
    pub(super) fn beside(&mut self, name: &str, from: &mut dyn Read) -> Result<(), Problem> {
        self.take(name, from, None)
    }

    fn take(&mut self, name: &str, from: &mut dyn Read, dir: Option<&Path>) -> Result<(), Problem> {
        let Some((name, entry)) = self.expected.get_key_value(name) else {
            self.fault(name, "is not in the list of files");
            return Ok(());
        };
        let (name, entry): (&'s str, &'s Entry) = (name, entry);
        self.come.insert(name);
        let mut file = match dir {
            Some(dir) => Some(create(dir.join(name))?),
            None => None,
        };
        let mut hash = entry.sha256.as_ref().map(|_| Sha256::new());
        let mut size = 0;
        loop {
            let count = from.read(&mut self.chunk)?;
            let Some(read @ [_, ..]) = self.chunk.get(..count) else {
                break;
            };
            size += count as u64;
            if size > entry.size {
                break;
            }
            if let Some(hash) = &mut hash {
                hash.update(read);
            }
            if let Some((path, file)) = &mut file {
                let written = file.write_all(read);
                written.map_err(ArchiveError::io("write", &*path))?;
            }
            self.done += count as u64;
            if (self.progress)(self.done).is_break() {
                return Err(ArchiveError::Interrupted.into());
            }
        }
        if size != entry.size {
            let more = if size > entry.size { "more than " } else { "" };
            let found = size.min(entry.size);
            let what = format!("has {more}{found} bytes instead of {}", entry.size);
            self.fault(name, what);
            return Ok(());
        }
        let found = hash.map(|hash| format!("{:x}", hash.finalize()));
        if found != entry.sha256 {
            self.fault(name, "has other contents (SHA-256)");
        }
        if let Some((path, file)) = file {
            let synced = file.sync_all();
            synced.map_err(ArchiveError::io("write", path))?;
        }
        Ok(())
    }
}

fn create(path: PathBuf) -> Result<(PathBuf, File), ArchiveError> {
    let file = private::create_file(&path).map_err(ArchiveError::io("make", &path))?;
    Ok((path, file))
}
