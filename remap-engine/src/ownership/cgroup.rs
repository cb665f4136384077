//! The control group of a container, and who is in it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::all_pids;
use crate::mountmap::HostMounts;
use crate::process::Process;

/// The longest path in `/proc/PID/cgroup` (`ID:CONTROLLERS:PATH` lines, cgroups(7)): on hybrid
/// systems some hierarchies show `/`.
pub(crate) fn cgroup_path(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .max_by_key(|path| path.len())
        .unwrap_or("/")
        .to_owned()
}

/// Processes in the same control group as `init`: what `exec` put into the container beside
/// init's own tree. Empty if the container has no control group of its own.
///
/// # Errors
/// `/proc` cannot be listed, or `init` is gone.
pub fn same_cgroup(init: &Process, host: &HostMounts) -> io::Result<HashSet<i32>> {
    let own = init.read("cgroup").map_err(|error| error.source)?;
    let mut pids = HashSet::new();
    if cgroup_path(&own) == "/" {
        return Ok(pids);
    }
    // Asking the group itself spares a look at every process of the host.
    let listed = listed(&own, host).filter(|listed| listed.contains(&init.pid()));
    let candidates = match listed {
        Some(listed) => listed,
        None => all_pids()?,
    };
    for pid in candidates {
        let cgroup = Process::pin(pid).and_then(|process| process.read("cgroup"));
        if cgroup.is_ok_and(|cgroup| cgroup == own) {
            pids.insert(pid);
        }
    }
    Ok(pids)
}

/// What the kernel lists as the processes of one of the groups of a `/proc/PID/cgroup`, the one with
/// the longest path. Nothing if that is not to be had: its hierarchy is not mounted here, or it is a
/// threaded group of version 2.
fn listed(groups: &[u8], host: &HostMounts) -> Option<Vec<i32>> {
    let lines = groups.split(|byte| *byte == b'\n');
    let groups = lines.filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let controllers = std::str::from_utf8(fields.next()?).ok()?;
        Some((controllers, Path::new(OsStr::from_bytes(fields.next()?))))
    });
    let (controllers, path) = groups.max_by_key(|(_, path)| path.as_os_str().len())?;
    let dir = host.place_of_group(controllers, path)?;
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).ok()?;
    text.lines().map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_cgroup_path_counts() {
        assert_eq!(
            cgroup_path(b"2:cpu:/default/x\n1:name=systemd:/\n0::/\n"),
            "/default/x"
        );
        assert_eq!(cgroup_path(b""), "/");
    }

    #[test]
    fn own_cgroup_holds_own_process_unless_it_is_the_root() {
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let host = HostMounts::look().unwrap();
        let at_root = cgroup_path(&own.read("cgroup").unwrap()) == "/";
        assert_eq!(
            same_cgroup(&own, &host).unwrap().contains(&own.pid()),
            !at_root
        );
    }
}
