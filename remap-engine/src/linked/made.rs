//! Makes the names, so that they can be taken back.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, linkat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::fit::{LinkedError, Links, is_same, open_root, parent, stat_below};
use crate::private;

/// Version of the journal.
const VERSION: u32 = 1;

/// What is made. Written before it is, and removed when nothing of it is left.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    version: u32,
    links: Vec<Link>,
}

/// A name that was not there before.
#[derive(Debug, Serialize, Deserialize)]
struct Link {
    /// The directory of this host that has both names.
    #[serde(with = "crate::text")]
    root: PathBuf,
    /// The name that lives.
    #[serde(with = "crate::text")]
    survivor: PathBuf,
    /// The name that is made.
    #[serde(with = "crate::text")]
    link: PathBuf,
}

/// Names that were made for a restore.
///
/// Dropped without [`Made::remove`] they stay, and [`recover`] removes them.
#[derive(Debug)]
#[must_use = "remove them when the restore has ended"]
pub struct Made {
    journal: Option<PathBuf>,
    links: Vec<Link>,
}

impl Links {
    /// Makes the names that are not there yet.
    ///
    /// # Errors
    /// One cannot be made; none stays.
    pub fn make(self, journal: &Path) -> Result<Made, LinkedError> {
        let new = self.0.into_iter().filter(|relink| !relink.is_there);
        let links: Vec<Link> = new
            .map(|relink| Link {
                root: relink.root,
                survivor: relink.file.survivor,
                link: relink.file.link,
            })
            .collect();
        if links.is_empty() {
            return Ok(Made {
                journal: None,
                links,
            });
        }
        let text = Journal {
            version: VERSION,
            links,
        };
        serde_json::to_vec(&text)
            .map_err(io::Error::from)
            .and_then(|text| private::write(journal, &text))
            .map_err(|source| journal_error(journal, source))?;
        let made = Made {
            journal: Some(journal.to_owned()),
            links: text.links,
        };
        let result = made.links.iter().try_for_each(Link::make);
        if let Err(error) = result {
            made.remove()?;
            return Err(error);
        }
        Ok(made)
    }
}

impl Made {
    /// Removes the names that are still there: CRIU has removed them if it has succeeded.
    ///
    /// # Errors
    /// One stays, and the journal, too.
    pub fn remove(self) -> Result<(), LinkedError> {
        // Also after an error: the others do not depend on it.
        let results: Vec<_> = self.links.iter().map(Link::remove).collect();
        results.into_iter().collect::<Result<(), _>>()?;
        match &self.journal {
            Some(path) => {
                private::remove_if_exists(path).map_err(|source| journal_error(path, source))
            }
            None => Ok(()),
        }
    }
}

/// Removes the names of a restore whose process ended in the middle of it. Does nothing if there
/// were none.
///
/// # Errors
/// The journal cannot be read, or is that of a newer build; or a name stays.
pub fn recover(journal: &Path) -> Result<(), LinkedError> {
    let error = |source| journal_error(journal, source);
    let text = match std::fs::read(journal) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text.map_err(error)?,
    };
    let found: Journal = serde_json::from_slice(&text)
        .map_err(io::Error::from)
        .map_err(error)?;
    if found.version != VERSION {
        let what = format!("it has the unknown version {}", found.version);
        return Err(error(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    let made = Made {
        journal: Some(journal.to_owned()),
        links: found.links,
    };
    made.remove()
}

fn journal_error(path: &Path, source: io::Error) -> LinkedError {
    LinkedError::Journal {
        path: path.to_owned(),
        source,
    }
}

impl Link {
    fn make(&self) -> Result<(), LinkedError> {
        let link = || -> rustix::io::Result<()> {
            let root = open_root(&self.root)?;
            let (from, survivor) = parent(&root, &self.survivor)?;
            let (to, link) = parent(&root, &self.link)?;
            // Without AT_SYMLINK_FOLLOW a symbolic link itself is linked (link(2)).
            linkat(from, survivor, to, link, AtFlags::empty())
        };
        link().map_err(|errno| self.error(errno))
    }

    /// Removes the name if it is a name of the survivor's file still.
    fn remove(&self) -> Result<(), LinkedError> {
        let remove = || -> rustix::io::Result<()> {
            let root = open_root(&self.root)?;
            let found = stat_below(&root, &self.link)?;
            let survivor = stat_below(&root, &self.survivor)?;
            if !is_same(&found, &survivor) {
                tracing::warn!(root = %self.root.display(), link = %self.link.display(), "it is another file now, and stays");
                return Ok(());
            }
            let (dir, name) = parent(&root, &self.link)?;
            unlinkat(dir, name, AtFlags::empty())
        };
        match remove() {
            // It is gone, or what it was made of, and the place where it was.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(self.error(errno)),
        }
    }

    fn error(&self, errno: Errno) -> LinkedError {
        LinkedError::Link {
            survivor: self.survivor.clone(),
            link: self.link.clone(),
            host_path: self.root.clone(),
            source: errno.into(),
        }
    }
}
