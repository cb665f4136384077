//! Where a process's cgroup is in the file system (cgroups(7)).

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Where the hierarchies are mounted.
pub(crate) const MOUNT: &str = "/sys/fs/cgroup";

/// The directory of each controller, or the one of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroup {
    /// cgroup v1, beside an empty unified hierarchy or not: by controller.
    V1(HashMap<String, PathBuf>),
    /// The unified hierarchy.
    V2(PathBuf),
}

impl Cgroup {
    /// The cgroup of process `pid`.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let membership = std::fs::read(format!("/proc/{pid}/cgroup"))?;
        parse(&membership, Path::new(MOUNT)).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("process {pid} is in no cgroup with controllers"),
            )
        })
    }
}

/// Reads `/proc/PID/cgroup`: lines of `id:controllers:path`, without controllers for the unified
/// hierarchy.
pub(crate) fn parse(membership: &[u8], mount: &Path) -> Option<Cgroup> {
    let mut v1 = HashMap::new();
    let mut unified = None;
    for line in membership.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let path = Path::new(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
        let controllers = String::from_utf8_lossy(controllers);
        if controllers.is_empty() {
            unified = Some(mount.join(path));
        }
        for controller in controllers.split(',') {
            // `name=systemd` has no figures.
            if !controller.is_empty() && !controller.contains('=') {
                v1.insert(controller.to_owned(), mount.join(controller).join(path));
            }
        }
    }
    if v1.is_empty() {
        unified.map(Cgroup::V2)
    } else {
        Some(Cgroup::V1(v1))
    }
}

/// The root of each hierarchy; links such as `cpu -> cpu,cpuacct` are passed over.
///
/// # Errors
/// What the system says.
pub(crate) fn roots(mount: &Path) -> io::Result<Vec<PathBuf>> {
    if mount.join("cgroup.controllers").exists() {
        return Ok(vec![mount.to_owned()]);
    }
    let mut roots = Vec::new();
    for entry in std::fs::read_dir(mount)? {
        let entry = entry?;
        let path = entry.path();
        // cpuset takes no process before its cpus and mems are set, as containerd knows too.
        if entry.file_type()?.is_dir()
            && path.join("cgroup.procs").exists()
            && !path.ends_with("cpuset")
        {
            roots.push(path);
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_hierarchies() {
        let mount = tempfile::tempdir().unwrap();
        for controller in ["memory", "cpuset", "none"] {
            std::fs::create_dir(mount.path().join(controller)).unwrap();
        }
        for controller in ["memory", "cpuset"] {
            std::fs::write(mount.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        assert_eq!(roots(mount.path()).unwrap(), [mount.path().join("memory")]);
        std::fs::write(mount.path().join("cgroup.controllers"), "").unwrap();
        assert_eq!(roots(mount.path()).unwrap(), [mount.path()]);
    }

    #[test]
    fn hierarchies() {
        let mount = Path::new("/m");
        assert_eq!(
            parse(b"0::/default/c1\n", mount),
            Some(Cgroup::V2("/m/default/c1".into()))
        );
        let Some(Cgroup::V1(paths)) = parse(
            b"9:name=systemd:/\n4:memory:/default/c1\n2:cpu,cpuacct:/default/a:b\n0::/\n",
            mount,
        ) else {
            panic!("not v1");
        };
        assert_eq!(paths.len(), 3);
        assert_eq!(paths["memory"], Path::new("/m/memory/default/c1"));
        assert_eq!(paths["cpuacct"], Path::new("/m/cpuacct/default/a:b"));
        assert_eq!(parse(b"", mount), None);
        assert_eq!(parse(b"nonsense\n1:x", mount), None);
    }
}
