//! Puts an archive's members below a directory where none of them exists, but for directories with
//! mounts below them.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, OFlag, fallocate, openat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{linkat, symlinkat};

use super::entry::{Attributes, Extent, Node, Timestamp};
use super::error::PopulateError;
use super::kept::Kept;
use super::read::{ArchiveReader, Member};
use super::standing::Standing;
use super::tree::{Pinned, Tree, fd_path};
use super::write::CHUNK;
use super::xattrs;

/// Puts in every member. Directories get their attributes last, since filling
/// them changes their times and their default ACLs act on what is made in them.
///
/// After an error some members are in and others are not; none lies outside.
pub(super) fn extract(
    reader: &mut ArchiveReader,
    tree: &Tree,
    standing: &Standing,
) -> Result<(), PopulateError> {
    put_all(reader, tree, Some(standing), None)
}

/// The same, but the root stays as it is; inodes that are kept in another tree get one more name
/// instead, and stay as they are.
pub(super) fn extract_beside(
    reader: &mut ArchiveReader,
    tree: &Tree,
    kept: Option<(&Tree, &Kept)>,
) -> Result<(), PopulateError> {
    put_all(reader, tree, None, kept)
}

fn put_all(
    reader: &mut ArchiveReader,
    tree: &Tree,
    standing: Option<&Standing>,
    kept: Option<(&Tree, &Kept)>,
) -> Result<(), PopulateError> {
    reader.rewind();
    let mut extractor = Extractor {
        tree,
        kept,
        standing,
        parent: None,
        directories: Vec::new(),
        chunk: vec![0; CHUNK],
    };
    while let Some(member) = reader.next()? {
        extractor
            .put(&member, reader.file())
            .map_err(PopulateError::io("put in", tree.place(&member.path)))?;
    }
    let Extractor {
        mut directories, ..
    } = extractor;
    while let Some((path, attributes)) = directories.pop() {
        if !path.as_os_str().is_empty() || standing.is_some() {
            tree.pin(&path)
                .and_then(|pinned| apply(&pinned.path(), &Node::Directory, &attributes))
                .map_err(PopulateError::io(
                    "set the attributes of",
                    tree.place(&path),
                ))?;
        }
    }
    Ok(())
}

struct Extractor<'a> {
    tree: &'a Tree,
    kept: Option<(&'a Tree, &'a Kept)>,
    /// What is there already, if the whole tree is the archive's.
    standing: Option<&'a Standing>,
    /// The directory of the last member: the next is mostly in the same.
    parent: Option<(PathBuf, OwnedFd)>,
    directories: Vec<(PathBuf, Attributes)>,
    chunk: Vec<u8>,
}

impl Extractor<'_> {
    fn put(&mut self, member: &Member, archive: &File) -> io::Result<()> {
        let Some(name) = member.path.file_name() else {
            // The root is there already.
            self.directories
                .push((member.path.clone(), member.attributes.clone()));
            return Ok(());
        };
        let parent = self.parent(member.path.parent().unwrap_or(Path::new("")))?;
        if let Some((tree, kept)) = self.kept
            && kept.link(tree, member.attributes.origin, &parent, name)?
        {
            self.parent_back(&member.path, parent);
            return Ok(());
        }
        // Nobody else may enter before the final attributes are set.
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let make_node = |kind, device| mknodat(&parent, name, kind, private, device);
        match &member.node {
            Node::Directory => {
                let standing = self.standing.filter(|all| all.stays(&member.path));
                if standing.is_none() {
                    mkdirat(&parent, name, Mode::S_IRWXU)?;
                }
                // That of a mount point cannot be seen.
                if !standing.is_some_and(|all| all.is_mount(&member.path)) {
                    self.directories
                        .push((member.path.clone(), member.attributes.clone()));
                }
            }
            Node::Regular {
                size,
                extents,
                reserved,
            } => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
                let file = File::from(openat(&parent, name, flags, private)?);
                self.parent_back(&member.path, parent);
                file.set_len(*size)?;
                if *reserved {
                    reserve(&file, *size)?;
                }
                let mut from = member.data_offset;
                for extent in extents {
                    self.copy(archive, from, &file, *extent)?;
                    from += extent.length;
                }
                return apply(&fd_path(&file), &member.node, &member.attributes);
            }
            Node::HardLink(target) => {
                let (directory, target) = self.tree.parent(target)?;
                linkat(&directory, target, &parent, name, AtFlags::empty())?;
            }
            Node::Symlink(target) => symlinkat(target.as_os_str(), &parent, name)?,
            Node::Fifo => make_node(SFlag::S_IFIFO, 0)?,
            Node::Socket => make_node(SFlag::S_IFSOCK, 0)?,
            Node::Device {
                block,
                major,
                minor,
            } => {
                let kind = if *block {
                    SFlag::S_IFBLK
                } else {
                    SFlag::S_IFCHR
                };
                make_node(kind, makedev((*major).into(), (*minor).into()))?;
            }
        }
        let result = match &member.node {
            Node::Directory | Node::HardLink(_) => Ok(()),
            node => Pinned::at(&parent, name)
                .and_then(|pinned| apply(&pinned.path(), node, &member.attributes)),
        };
        self.parent_back(&member.path, parent);
        result
    }

    /// Takes the cached directory if it is `path`, else opens it.
    fn parent(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match self.parent.take() {
            Some((cached, fd)) if cached.as_os_str() == path.as_os_str() => Ok(fd),
            _ => self.tree.directory(path),
        }
    }

    fn parent_back(&mut self, member: &Path, fd: OwnedFd) {
        self.parent = member.parent().map(|parent| (parent.to_owned(), fd));
    }

    fn copy(
        &mut self,
        archive: &File,
        mut from: u64,
        file: &File,
        extent: Extent,
    ) -> io::Result<()> {
        let mut to = extent.offset;
        let mut left = extent.length;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let chunk = self.chunk.get_mut(..wanted).unwrap_or_default();
            let count = archive.read_at(chunk, from)?;
            let read = chunk.get(..count).unwrap_or_default();
            if read.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_all_at(read, to)?;
            from += count as u64;
            to += count as u64;
            left -= count as u64;
        }
        Ok(())
    }
}

/// Reserves storage; a file system that cannot has nothing to reserve.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    let size = i64::try_from(size).map_err(io::Error::other)?;
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        Err(Errno::EOPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

/// Sets all attributes of the inode at a path in `/proc/self/fd`.
///
/// The order matters: a change of owner clears set-ID bits and capabilities
/// (chown(2)), an ACL changes the mode (acl(5)), and all of it may change times.
fn apply(path: &Path, node: &Node, attributes: &Attributes) -> io::Result<()> {
    chown(path, Some(attributes.uid), Some(attributes.gid))?;
    xattrs::make(path, &attributes.xattrs)?;
    if !matches!(node, Node::Symlink(_)) {
        std::fs::set_permissions(path, Permissions::from_mode(attributes.mode))?;
    }
    utimensat(
        AT_FDCWD,
        path,
        &timespec(attributes.atime),
        &timespec(attributes.mtime),
        UtimensatFlags::FollowSymlink,
    )?;
    Ok(())
}

fn timespec(time: Timestamp) -> TimeSpec {
    TimeSpec::new(time.seconds, time.nanoseconds.into())
}
