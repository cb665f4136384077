//! The mounts of the host, against which those of a container are held.

use std::path::{Path, PathBuf};

use crate::mountinfo::{self, Device, MountEntry};

/// File systems in which the kernel shows itself: a tmpfs that has one of them mounted on it is part
/// of a system's own layout (`/run` with `/run/netns/*`, `/dev` with `/dev/pts`).
const OF_THE_KERNEL: [&str; 14] = [
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "securityfs",
    "sysfs",
    "tracefs",
];

/// What the host has mounted, as this process sees it.
#[derive(Debug, Clone, Default)]
pub struct HostMounts(Vec<MountEntry>);

impl HostMounts {
    /// Looks.
    ///
    /// # Errors
    /// `/proc/self/mountinfo` cannot be read.
    pub fn look() -> std::io::Result<Self> {
        let text = std::fs::read("/proc/self/mountinfo")?;
        let mounts = mountinfo::parse(&text)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
        Ok(Self(mounts))
    }

    /// Of the lines of a mountinfo.
    #[must_use]
    pub fn new(mounts: Vec<MountEntry>) -> Self {
        Self(mounts)
    }

    /// Whether the host has at `below`, under the directory `source`, the mount of which `entry` is a
    /// copy: it came along with a bind of `source`, or by propagation. A mount that the container has
    /// made itself is not there.
    pub(super) fn has(&self, source: &Path, below: &Path, entry: &MountEntry) -> bool {
        let path = real(source).join(below);
        self.0.iter().any(|mount| {
            mount.device == entry.device && mount.root == entry.root && mount.mount_point == path
        })
    }

    /// The mount with this id.
    pub(crate) fn by_id(&self, id: u64) -> Option<&MountEntry> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// Whether control groups are mounted on the part of a file system that `root` is the top of, as
    /// those of version 1 are on the tmpfs at `/sys/fs/cgroup`.
    pub(crate) fn has_control_groups(&self, device: Device, root: &Path) -> bool {
        self.mounted_on(device, root)
            .any(|mount| mount.fs_type.starts_with("cgroup"))
    }

    /// The directory of the control group that `/proc/PID/cgroup` calls `path` in the hierarchy of
    /// `controllers`, which are none in version 2 (cgroups(7)).
    pub(crate) fn place_of_group(&self, controllers: &str, path: &Path) -> Option<PathBuf> {
        let is_it = |mount: &&MountEntry| match controllers {
            "" => mount.fs_type == "cgroup2",
            _ => {
                let options: Vec<&str> = mount.super_options.split(',').collect();
                let mut controllers = controllers.split(',');
                mount.fs_type == "cgroup" && controllers.all(|one| options.contains(&one))
            }
        };
        self.0.iter().filter(is_it).find_map(|mount| {
            let below = path.strip_prefix(&mount.root).ok()?;
            Some(mount.mount_point.join(below))
        })
    }

    /// Whether that part belongs to a system: other file systems of the kernel are mounted on it, or
    /// the directory `own` is there, which is this engine's.
    pub(crate) fn is_a_systems(&self, device: Device, root: &Path, own: &Path) -> bool {
        let mut on_it = self.mounted_on(device, root);
        on_it.any(|mount| OF_THE_KERNEL.contains(&&*mount.fs_type))
            || self
                .place(own)
                .is_some_and(|(mount, place)| mount.device == device && place.starts_with(root))
    }

    /// The mounts on a part of a file system.
    fn mounted_on(&self, device: Device, root: &Path) -> impl Iterator<Item = &MountEntry> {
        self.0.iter().filter(move |mount| {
            let parent = self.by_id(mount.parent);
            let parent = parent.filter(|parent| parent.device == device);
            let place = parent.and_then(|parent| place_on(parent, &mount.mount_point));
            place.is_some_and(|place| place.starts_with(root))
        })
    }

    /// The mount that shows the path, and where that is in its file system.
    fn place(&self, path: &Path) -> Option<(&MountEntry, PathBuf)> {
        let path = real(path);
        // Of several on one mount point the last is on top.
        let shows = self
            .0
            .iter()
            .filter(|mount| path.starts_with(&mount.mount_point));
        let mount = shows.max_by_key(|mount| mount.mount_point.components().count())?;
        Some((mount, place_on(mount, &path)?))
    }
}

/// Where in its file system a path is that the mount shows.
pub(crate) fn place_on(mount: &MountEntry, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(&mount.mount_point).ok()?;
    Some(mount.root.join(below).components().collect())
}

/// The path without symbolic links; as it is if nothing is there.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[u8] = b"\
20 1 0:20 / /nowhere rw - ext4 /dev/sda1 rw
21 20 0:21 / /nowhere/run rw - tmpfs run rw
22 21 0:22 net:[1] /nowhere/run/netns/x rw - nsfs nsfs rw
23 20 0:23 / /nowhere/cg rw - tmpfs cg rw
24 23 0:24 / /nowhere/cg/cpu rw - cgroup cgroup rw
25 20 0:25 / /nowhere/data rw - tmpfs d rw
26 25 0:26 / /nowhere/data/in rw - tmpfs d rw
27 20 0:21 /part /nowhere/part rw - tmpfs run rw
";

    fn host() -> HostMounts {
        HostMounts::new(mountinfo::parse(HOST).unwrap())
    }

    const fn device(minor: u32) -> Device {
        Device { major: 0, minor }
    }

    #[test]
    fn a_mount_of_the_hosts_is_told_from_one_that_is_only_in_the_container() {
        let entry = |text: &str| mountinfo::parse(text.as_bytes()).unwrap().remove(0);
        let has = |below: &str, text: &str| {
            host().has(Path::new("/nowhere/data"), Path::new(below), &entry(text))
        };
        assert!(has("in", "9 8 0:26 / /m/in rw - tmpfs d rw"));
        assert!(!has("in", "9 8 0:99 / /m/in rw - tmpfs d rw"));
        assert!(!has("in", "9 8 0:26 /sub /m/in rw - tmpfs d rw"));
        assert!(!has("other", "9 8 0:26 / /m/other rw - tmpfs d rw"));
    }

    #[test]
    fn a_control_group_has_its_place_in_the_mount_of_its_hierarchy() {
        let text = b"1 0 0:1 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            2 0 0:2 /../other /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n\
            3 0 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            4 0 0:3 /a /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let host = HostMounts::new(mountinfo::parse(text).unwrap());
        let place = |controllers, path: &str| {
            let place = host.place_of_group(controllers, Path::new(path))?;
            Some(place.to_str().unwrap().to_owned())
        };
        let expected = |path: &str| Some(path.to_owned());
        assert_eq!(place("", "/x"), expected("/sys/fs/cgroup/unified/x"));
        assert_eq!(
            place("cpu,cpuacct", "/x/y"),
            expected("/sys/fs/cgroup/cpu,cpuacct/x/y")
        );
        assert_eq!(
            place("name=systemd", "/a/b"),
            expected("/sys/fs/cgroup/systemd/b")
        );
        assert_eq!(place("name=systemd", "/b"), None);
        assert_eq!(place("memory", "/x"), None);
    }

    #[test]
    fn a_tmpfs_of_the_system_is_known_by_what_is_mounted_on_it() {
        let own = Path::new("/nowhere/run/containerd/bundle");
        let systems = |minor, root: &str| host().is_a_systems(device(minor), Path::new(root), own);
        assert!(systems(21, "/") && systems(21, "/netns"));
        assert!(systems(21, "/containerd"));
        assert!(!systems(21, "/part") && !systems(25, "/"));
        let groups = |minor, root: &str| host().has_control_groups(device(minor), Path::new(root));
        assert!(groups(23, "/") && groups(23, "/cpu"));
        assert!(!groups(21, "/") && !groups(23, "/memory"));
    }
}
