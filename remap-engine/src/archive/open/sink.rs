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

/// Which files one is among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Where {
    /// Those of the plain form.
    Plain,
    /// Those that are not unpacked.
    Beside,
}

/// Takes file after file.
pub(super) struct Sink<'s, 'p> {
    /// Where files are made; none are, if there is none.
    dir: Option<&'s Path>,
    /// What has to come, by where it is and by name.
    expected: BTreeMap<Where, BTreeMap<&'s str, &'s Entry>>,
    progress: &'s mut Progress<'p>,
    chunk: Vec<u8>,
    done: u64,
    come: BTreeSet<(Where, &'s str)>,
    /// All that was wrong so far.
    faults: Vec<Fault>,
}

impl<'s, 'p> Sink<'s, 'p> {
    pub(super) fn new(
        dir: Option<&'s Path>,
        plain: &'s [Entry],
        beside: &'s [Entry],
        progress: &'s mut Progress<'p>,
    ) -> Self {
        Self {
            dir,
            expected: BTreeMap::from([
                (Where::Plain, by_name(plain)),
                (Where::Beside, by_name(beside)),
            ]),
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
        let expected = std::mem::take(&mut self.expected);
        for (place, files) in expected {
            for name in files.into_keys() {
                if !self.come.contains(&(place, name)) && !self.is_done() {
                    self.fault(name, "is missing");
                }
            }
        }
        self.faults
    }

    fn expects(&self, place: Where, name: &str) -> bool {
        let expected = self.expected.get(&place);
        expected.is_some_and(|files| files.contains_key(name))
    }

    /// A file: its contents.
    pub(super) fn take(
        &mut self,
        place: Where,
        name: &str,
        from: &mut dyn Read,
    ) -> Result<(), Problem> {
        // Podman's list of deleted files is ours to keep only if it is Podman's.
        let place = match self.expects(place, name) {
            false if self.expects(Where::Beside, name) => Where::Beside,
            _ => place,
        };
        let expected = self.expected.get(&place);
        let Some(entry) = expected.and_then(|files| files.get(name)) else {
            self.fault(name, "is not in the list of files");
            return Ok(());
        };
        let entry: &'s Entry = entry;
        self.come.insert((place, &entry.name));
        let dir = self.dir.filter(|_| place == Where::Plain);
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
        Ok(())
    }
}

fn by_name(entries: &[Entry]) -> BTreeMap<&str, &Entry> {
    let entries = entries.iter();
    entries.map(|entry| (entry.name.as_str(), entry)).collect()
}

fn create(path: PathBuf) -> Result<(PathBuf, File), ArchiveError> {
    let file = private::create_file(&path).map_err(ArchiveError::io("make", &path))?;
    Ok((path, file))
}
