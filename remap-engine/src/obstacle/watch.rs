//! Watches of inotify and fanotify, of which CRIU has to find a path.
//!
//! The kernel tells of a watch the file system, the inode and a file handle. CRIU opens the handle
//! (`check_open_handle`), which overlayfs does not do unless it is exported by NFS; then it looks
//! through some directories (`irmap_lookup`) and those that it is told by `irmap-scan-path`. So the
//! path is looked for here, and told. Of a file on a tmpfs that has no name there is no path.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FileType;

use super::{Found, Held, Kind};
use crate::criu::config::is_one_word;
use crate::mountinfo::{Device, MountEntry};
use crate::name_search::{Inode, NameSearch};
use crate::process::{FileUse, Process, ProcessError, UseKind};

/// How long the search may take, the tasks being frozen. It is made only if there is such a watch.
const LIMIT: Duration = Duration::from_secs(30);

/// The type of a file handle of overlayfs (`OVL_FILEID_V1` of the kernel's overlayfs.h).
const OVERLAY_HANDLE: u32 = 0xf8;

/// Links to descriptors that have watches.
const WATCHERS: [&str; 2] = ["anon_inode:inotify", "anon_inode:[fanotify]"];

/// A watch, as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: Inode,
    handle_type: u32,
}

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let mut marks: Vec<(&Process, &FileUse, Mark)> = Vec::new();
    for (process, one) in held.uses() {
        let is_watcher = WATCHERS.iter().any(|link| one.name == *link);
        if let UseKind::Fd(fd) = one.kind
            && is_watcher
            && let Some(fdinfo) = process.fdinfo(fd)?
        {
            marks.extend(marks_in(&fdinfo).map(|mark| (process, one, mark)));
        }
    }
    let Some(root) = held.all.first().filter(|_| !marks.is_empty()) else {
        return Ok(());
    };
    let mounts = root.process.mounts()?;
    let of_overlay = marks.iter().map(|(_, _, mark)| *mark);
    let of_overlay = of_overlay.filter(|mark| mark.handle_type == OVERLAY_HANDLE);
    let paths = paths(
        root.process,
        &mounts,
        of_overlay.map(|mark| mark.inode).collect(),
    );
    for (process, one, mark) in marks {
        if let Some(path) = paths.get(&mark.inode) {
            let path = path.clone();
            found.held(Kind::Watch { path }, process, one);
        } else if is_nameless_on_tmpfs(held, &mounts, mark.inode) {
            found.held(Kind::Watch { path: None }, process, one);
        }
    }
    Ok(())
}

/// Where CRIU finds the inodes of overlays; those of which that cannot be told are left out.
fn paths(
    root: &Process,
    mounts: &[MountEntry],
    mut wanted: HashSet<Inode>,
) -> HashMap<Inode, Option<PathBuf>> {
    let mut paths = HashMap::new();
    let until = Instant::now() + LIMIT;
    for mount in mounts.iter().filter(|mount| is_closed_overlay(mount)) {
        let here = wanted.iter().filter(|inode| inode.0 == mount.device);
        let here: HashSet<Inode> = here.copied().collect();
        let Some(view) = root
            .open_dir(&mount.mount_point)
            .ok()
            .filter(|_| !here.is_empty())
        else {
            continue;
        };
        let search = NameSearch {
            view: &view,
            listed: &view,
            wanted: here.clone(),
            kinds: vec![
                FileType::RegularFile,
                FileType::Directory,
                FileType::Symlink,
                FileType::Fifo,
                FileType::Socket,
                FileType::CharacterDevice,
                FileType::BlockDevice,
            ],
            until,
        };
        let names = search.run(HashSet::new());
        if names.expired {
            tracing::warn!(mount = %mount.mount_point.display(), "it takes too long to find what is watched");
            break;
        }
        for inode in here {
            let path = names.names.get(&inode).map(|name| {
                mount
                    .mount_point
                    .join(name)
                    .components()
                    .collect::<PathBuf>()
            });
            let path = path.and_then(|path| scannable(&path).map(Path::to_owned));
            if path.is_some() {
                wanted.remove(&inode);
            }
            paths.insert(inode, path);
        }
    }
    paths
}

/// Whether it is an overlay that opens no file handles.
fn is_closed_overlay(mount: &MountEntry) -> bool {
    let mut options = mount.super_options.split(',');
    mount.fs_type == "overlay" && options.all(|option| option != "nfs_export=on")
}

fn is_nameless_on_tmpfs(held: &Held, mounts: &[MountEntry], inode: Inode) -> bool {
    let mut mounts = mounts.iter();
    let on_tmpfs = mounts.any(|mount| mount.device == inode.0 && mount.fs_type == "tmpfs");
    let mut uses = held.uses();
    on_tmpfs && uses.any(|(_, one)| (one.device, one.inode) == inode && one.links == 0)
}

/// The path, or the nearest directory above it, that a line of CRIU's configuration can hold; not
/// the root, below which CRIU would scan `/proc`, too, unless it is meant itself.
fn scannable(path: &Path) -> Option<&Path> {
    let plain = path.ancestors().find(|path| is_one_word(path))?;
    (plain != Path::new("/") || plain == path).then_some(plain)
}

/// The watches in the text of a descriptor's fdinfo (proc_pid_fdinfo(5)).
fn marks_in(fdinfo: &[u8]) -> impl Iterator<Item = Mark> {
    let lines = fdinfo.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let kind = line.split(' ').next()?;
        let field = |name: &str| {
            let mut fields = line.split(' ');
            let value = fields.find_map(|field| field.strip_prefix(name))?;
            u64::from_str_radix(value, 16).ok()
        };
        if kind != "inotify" && kind != "fanotify" {
            return None;
        }
        let device = u32::try_from(field("sdev:")?).ok()?;
        let device = Device {
            // As the kernel keeps it (`MINORBITS` of kdev_t.h).
            major: device >> 20,
            minor: device & 0xf_ffff,
        };
        Some(Mark {
            inode: (device, field("ino:")?),
            handle_type: u32::try_from(field("fhandle-type:")?).ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_watch_is_read() {
        let text = b"pos:\t0\nflags:\t02004000\nmnt_id:\t16\nino:\t1039\n\
            inotify wd:1 ino:23803b sdev:6d mask:fff ignored_mask:0 fhandle-bytes:20 fhandle-type:f8 f_handle:00000000fb\n\
            fanotify ino:9 sdev:fe00000 mflags:0 mask:20 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:60c0\n\
            fanotify mnt_id:16f mflags:0 mask:20 ignored_mask:0\n";
        let marks: Vec<Mark> = marks_in(text).collect();
        let mark = |major, minor, inode, handle_type| Mark {
            inode: (Device { major, minor }, inode),
            handle_type,
        };
        assert_eq!(marks, [mark(0, 0x6d, 0x23_803b, 0xf8), mark(254, 0, 9, 1)]);
    }

    #[test]
    fn the_kernel_says_it_like_that() {
        use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
        use std::os::fd::{AsFd, AsRawFd};
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
        inotify
            .add_watch(file.path(), AddWatchFlags::IN_MODIFY)
            .unwrap();
        let fd = inotify.as_fd().as_raw_fd();
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        assert_eq!(link, Path::new(WATCHERS[0]));
        let text = std::fs::read(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let marks: Vec<Mark> = marks_in(&text).collect();
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(marks.len(), 1);
        assert_eq!(Some(marks[0].inode), own.identity(file.path()));
    }

    #[test]
    fn what_the_configuration_cannot_hold_is_scanned_from_above() {
        let at = |path: &'static str| scannable(Path::new(path));
        assert_eq!(at("/a/b"), Some(Path::new("/a/b")));
        assert_eq!(at("/a/b c/d"), Some(Path::new("/a")));
        assert_eq!(at("/a#b"), None);
        assert_eq!(at("/"), Some(Path::new("/")));
    }

    proptest! {
        #[test]
        fn odd_bytes_do_no_harm(text in prop::collection::vec(any::<u8>(), 0..200)) {
            marks_in(&text).count();
        }
    }
}
