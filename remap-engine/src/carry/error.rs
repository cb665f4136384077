//! What can go wrong with the contents of a mount, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::text::escape;

/// Why the contents of a mount could not be captured. The tree is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The tree could not be read.
    #[error("cannot {action} `{}` below the mount's root", escape(path.as_os_str()))]
    Read {
        /// What was tried.
        action: &'static str,
        /// Where, relative to the root.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file changed while it was read.
    #[error(
        "`{}` changed while it was captured: a process outside the container writes to it; \
         stop that process, or do not carry this mount",
        escape(path.as_os_str())
    )]
    Changed {
        /// The file, relative to the root.
        path: PathBuf,
    },
    /// An inode's extended attributes are too large for an archive.
    #[error(
        "the extended attributes of `{}` take {bytes} bytes, more than the {limit} that an \
         archive holds: remove some",
        escape(path.as_os_str())
    )]
    Attributes {
        /// The file, relative to the root.
        path: PathBuf,
        /// What they take.
        bytes: usize,
        /// What is possible.
        limit: usize,
    },
    /// The archive could not be written.
    #[error("cannot write the archive at `{}`", escape(path.as_os_str()))]
    Write {
        /// The member that was being written, relative to the root.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file could not be opened or read.
    #[error("cannot read the archive {}", archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not an archive as `capture` writes it.
    #[error("the archive {} is damaged or not ours, at byte {offset}", archive.display())]
    Malformed {
        /// The archive.
        archive: PathBuf,
        /// Where the member starts.
        offset: u64,
        /// What is wrong there.
        #[source]
        flaw: Flaw,
    },
}

/// What is wrong with a member of an archive.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Flaw {
    /// The archive ends before its end mark.
    #[error("the archive is cut short")]
    Truncated,
    /// A header's checksum does not match.
    #[error("the checksum of a header does not match")]
    Checksum,
    /// A member type that `capture` does not write.
    #[error("a member of the unknown type {0:#04x}")]
    Type(u8),
    /// A number in a header is not one, or is out of range.
    #[error("the {0} is not a number in range")]
    Number(&'static str),
    /// An extended header is malformed, too long or alone.
    #[error("a malformed extended header")]
    Pax,
    /// The map of a sparse file is malformed.
    #[error("a malformed sparse map")]
    Sparse,
    /// A member other than a file has data.
    #[error("`{}` has data, which its type cannot have", escape(.0.as_os_str()))]
    Data(PathBuf),
    /// A name that could lead outside the tree.
    #[error("the name `{0}` is absolute, has an empty, `.` or `..` part, or is too long")]
    Name(String),
    /// The first member is not the root directory.
    #[error("the first member is not the root directory `./`")]
    Root,
    /// A member's parent is not a directory that the archive made before.
    #[error("the parent of `{}` is not an earlier directory of the archive", escape(.0.as_os_str()))]
    Parent(PathBuf),
    /// Two members have one name.
    #[error("`{}` is there twice", escape(.0.as_os_str()))]
    Duplicate(PathBuf),
    /// A hard link to something that is no earlier member, or a directory.
    #[error(
        "`{}` is a hard link to `{}`, which is no earlier file of the archive",
        escape(name.as_os_str()),
        escape(target.as_os_str())
    )]
    LinkTarget {
        /// The link's name.
        name: PathBuf,
        /// What it links to.
        target: PathBuf,
    },
}

/// Why a mount could not be populated, or not be put back.
///
/// Unless it is [`NotRolledBack`](Self::NotRolledBack), the target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PopulateError {
    /// The archive is of no use; nothing was touched.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file operation failed.
    #[error("cannot {action} {}", escape(path.as_os_str()))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is not enough room; nothing was touched.
    #[error("{} needs {needed} {what} and has {available}: {remedy}", place.display())]
    Room {
        /// `bytes` or `inodes`.
        what: &'static str,
        /// The directory without room.
        place: PathBuf,
        /// How many are needed.
        needed: u64,
        /// How many there are, counting what will be freed.
        available: u64,
        /// What to do.
        remedy: String,
    },
    /// The target is mounted read-only; nothing was touched.
    #[error("{} is mounted read-only: mount it writable, or do not carry it", .0.display())]
    ReadOnly(PathBuf),
    /// Names of the archive exist in a target that others use.
    #[error(
        "{total} names of the archive exist in {}, which others use: {names}; remove them there, \
         or restore with a mount of its own", target.display()
    )]
    Conflict {
        /// The target directory.
        target: PathBuf,
        /// The first few names, relative to the target.
        names: String,
        /// How many there are.
        total: usize,
    },
    /// Containers of another moment are being restored there.
    #[error(
        "containers that were saved at another moment are being restored here, as {} says; restore \
         all of them from checkpoints of one moment, or, if the others will not come, remove that \
         directory and what those have left that came", .0.display()
    )]
    OtherMoment(PathBuf),
    /// The container has been restored there from this moment.
    #[error(
        "container {member} of this moment was restored here before, as {} says, and what it shares \
         with others has gone on since; remove that directory and what it has left, and restore all \
         of them anew", place.display()
    )]
    Again {
        /// Its id when it was saved.
        member: String,
        /// The directory that tells.
        place: PathBuf,
    },
    /// Others have to be restored before.
    #[error(
        "what the container shares with {after} is to be as it was when that was saved: restore {after} \
         to {} first, or take checkpoints of all of them while all are paused", target.display()
    )]
    TooEarly {
        /// The ids of those others when they were saved.
        after: String,
        /// The target directory.
        target: PathBuf,
    },
    /// A shared file has changed in a way that CRIU refuses.
    #[error(
        "{} had {then} bytes and has {now}: a container that shares it was restored before and has \
         gone on; restore all of them anew, and pause each as soon as it is there",
        escape(path.as_os_str())
    )]
    GoneOn {
        /// The file.
        path: PathBuf,
        /// Its length when it was saved.
        then: u64,
        /// Its length now.
        now: i64,
    },
    /// Something is mounted where the archive has something else than a directory, or above that.
    #[error("{} is on or below a mount of its own below the target: unmount that first", escape(.0.as_os_str()))]
    Mount(PathBuf),
    /// An inode of the old contents has names outside the target.
    #[error(
        "{} has {nlink} names, of which only {inside} are in the target, so putting it back would \
         break the link: remove the name, or populate the whole file system",
        escape(path.as_os_str())
    )]
    OutsideLinks {
        /// One of its names.
        path: PathBuf,
        /// All its names.
        nlink: u64,
        /// Its names in the target.
        inside: u64,
    },
    /// The old contents could not be saved; they are still in place.
    #[error("cannot save the old contents to {}", stash.display())]
    Stash {
        /// The stash.
        stash: PathBuf,
        /// Why not.
        source: CaptureError,
    },
    /// An earlier populate left its journal; nothing was touched.
    #[error("{} tells of an unfinished populate: recover from it first", .0.display())]
    Unfinished(PathBuf),
    /// The journal cannot be understood.
    #[error("the journal {} is not one that this version can undo: {reason}", journal.display())]
    Journal {
        /// The journal.
        journal: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Putting the target back failed, too: it is in between.
    #[error(
        "{cause}; and {} could not be put back as it was{}; remove the cause, and recover by \
         the journal {}", target.display(), kept(stash.as_deref()), journal.display()
    )]
    NotRolledBack {
        /// What failed first, or why the populate was to be taken back.
        cause: String,
        /// The target directory.
        target: PathBuf,
        /// The archive with the old contents, if there is one.
        stash: Option<PathBuf>,
        /// The journal to recover from, once the cause is gone.
        journal: PathBuf,
        /// Why putting back failed.
        source: Box<PopulateError>,
    },
}

fn kept(stash: Option<&std::path::Path>) -> String {
    stash.map_or_else(String::new, |stash| {
        format!(", its old contents are kept in {}", stash.display())
    })
}

impl PopulateError {
    /// For `map_err`: what was tried, and on what.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
