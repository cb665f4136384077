//! Unix sockets whose file has another name than the one under which they were bound, or several.
//!
//! The kernel goes on telling the name of bind(2) (getsockname(2)), as seen by who bound it, and CRIU
//! binds the restored socket under that one. Where the file is by now only its dentry tells.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::net::SocketAddrUnix;

use super::socket::is_socket;
use super::{Found, Held, Kind};
use crate::name_search::{Inode, NameSearch};
use crate::process::{Process, ProcessError, device_of, strip_deleted};
use crate::sys;

/// How long the search for one name may take, the tasks being frozen. Only a file that was linked, and
/// whose first name is gone, is searched for.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest name of a socket, in bytes, without the zero byte at its end (unix(7)).
const NAME_MAX_BYTES: usize = 107;

/// A Unix socket that is bound to a file.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// The name of bind(2); it may be relative.
    name: PathBuf,
    /// Where the file is: the kernel's own text, which says if that name is gone.
    shown: OsString,
    file: Inode,
    links: u32,
    mount_id: u64,
    /// It has its listener's name (accept(2)), or is a client: CRIU binds no connected one.
    connected: bool,
}

/// The file of a Unix socket; `None` if it is bound to none, or if that is not known.
pub(super) fn ask(socket: &OwnedFd, connected: bool) -> Option<Bound> {
    let address = rustix::net::getsockname(socket).ok()?;
    let address = SocketAddrUnix::try_from(address).ok()?;
    let name = OsString::from_vec(address.path_bytes()?.to_vec());
    let look = || -> std::io::Result<Bound> {
        let file = sys::file_of_socket(socket.as_fd())?;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = rustix::fs::statx(&file, "", flags, wanted)?;
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(Bound {
            shown: std::fs::read_link(link)?.into_os_string(),
            file: (device_of(&stat), stat.stx_ino),
            links: stat.stx_nlink,
            mount_id: stat.stx_mnt_id,
            name: name.clone().into(),
            connected,
        })
    };
    look()
        .inspect_err(|error| {
            let name = crate::text::escape(&name);
            tracing::warn!(%error, name, "the file of a Unix socket is not told; left to CRIU");
        })
        .ok()
}

/// Looks at the names of `sockets`, by their inodes.
pub(super) fn find(
    held: &Held,
    sockets: &HashMap<u64, Bound>,
    found: &mut Found,
) -> Result<(), ProcessError> {
    let mut kinds: HashMap<u64, Option<Kind>> = HashMap::new();
    for (process, one) in held.uses().filter(|(_, one)| is_socket(one)) {
        let Some(bound) = sockets.get(&one.inode) else {
            continue;
        };
        let kind = match kinds.entry(one.inode) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(empty) => {
                let view = View::of(held, process)?;
                let leads = |path: &Path| view.identity(path) == Some(bound.file);
                let search = || view.search(bound);
                empty.insert(decide(one.inode, bound, leads, search))
            }
        };
        if let Some(kind) = kind {
            let socket = crate::text::escape(&one.name);
            let name = crate::text::escape(bound.name.as_os_str());
            let name = format!("{socket}, bound as {name}");
            found.add(kind.clone(), process, Some(one.kind.clone()), name);
        }
    }
    Ok(())
}

/// The files as a restore sees them: from the root of their mount namespace.
struct View<'t> {
    process: &'t Process,
    /// Its own root there, which chroot(2) may have changed.
    root: PathBuf,
}

impl<'t> View<'t> {
    /// That of init, or, in a mount namespace of its own, of the process.
    fn of(held: &Held<'t>, process: &'t Process) -> Result<Self, ProcessError> {
        let own = process.link("ns/mnt")?;
        let init = held.all.first().map(|init| init.process);
        let init = init.filter(|_| held.namespace_of_init("mnt").as_ref() == Some(&own));
        Self::by(init.unwrap_or(process))
    }

    fn by(process: &'t Process) -> Result<Self, ProcessError> {
        let root = process.link("root")?.into();
        Ok(Self { process, root })
    }

    fn identity(&self, path: &Path) -> Option<Inode> {
        let below = path.strip_prefix(&self.root).ok()?;
        self.process.identity(&Path::new("/").join(below))
    }

    /// Looks for a name of the socket's file on its mount.
    fn search(&self, bound: &Bound) -> Option<PathBuf> {
        let mounts = self.process.mounts().ok()?;
        let mount = mounts.into_iter().find(|one| one.id == bound.mount_id)?;
        // The server of a FUSE file system may be frozen with the container.
        if mount.fs_type.starts_with("fuse") {
            return None;
        }
        let dir = self.process.open_dir(&mount.mount_point).ok()?;
        let stat = rustix::fs::statx(&dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
        if stat.stx_mnt_id != bound.mount_id {
            return None;
        }
        let at = self.root.join(mount.mount_point.strip_prefix("/").ok()?);
        let gone = Path::new(strip_deleted(&bound.shown).unwrap_or(&bound.shown));
        let beside = gone.parent().and_then(|dir| dir.strip_prefix(&at).ok());
        let search = NameSearch {
            view: &dir,
            listed: &dir,
            wanted: [bound.file].into(),
            kinds: vec![FileType::Socket],
            until: Instant::now() + LIMIT,
        };
        let found = search.run(beside.into_iter().map(Path::to_owned).collect());
        Some(at.join(found.names.get(&bound.file)?))
    }
}

/// What is to be said of a socket; `None` if CRIU does right with it. `leads` says whether a path
/// leads to its file; `search` looks for one that does.
fn decide(
    socket: u64,
    bound: &Bound,
    leads: impl Fn(&Path) -> bool,
    search: impl FnOnce() -> Option<PathBuf>,
) -> Option<Kind> {
    let shown = Path::new(&bound.shown);
    let is_shown = leads(shown);
    // A name can really end like that.
    let gone = strip_deleted(&bound.shown).filter(|_| !is_shown);
    let is_relative = bound.name.is_relative();
    if is_relative && !ends_with(gone.unwrap_or(&bound.shown), bound.name.as_os_str()) {
        return Some(Kind::UnixRelative);
    }
    if bound.links == 0 {
        return None;
    }
    if bound.links > 1 && !bound.connected {
        return Some(Kind::UnixLinked);
    }
    let is_bound_there = !is_relative && leads(&bound.name);
    if gone.is_none() && (is_bound_there || is_relative && is_shown) {
        return None;
    }
    let name = if is_bound_there {
        Some(bound.name.clone())
    } else if is_shown {
        Some(shown.to_owned())
    } else {
        search()
    };
    match name.filter(|name| name.as_os_str().len() <= NAME_MAX_BYTES) {
        Some(name) => Some(Kind::UnixRenamed { socket, name }),
        None if bound.connected => None,
        None => Some(Kind::UnixLost),
    }
}

/// Whether CRIU can tell from where a relative name is one of the file at `path`
/// (`cut_path_ending`).
fn ends_with(path: &OsStr, name: &OsStr) -> bool {
    let name = name.as_bytes();
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let dir = path.as_bytes().strip_suffix(name);
    dir.is_some_and(|dir| dir.ends_with(b"/"))
}

#[cfg(test)]
mod tests;
