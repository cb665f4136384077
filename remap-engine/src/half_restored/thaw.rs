//! Thaws what a restore had frozen when it was cut short, see [`crate::relock`]: tasks that cgroup v1
//! has frozen do not die.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the hierarchies are mounted (cgroups(7)).
const MOUNT: &str = "/sys/fs/cgroup";

/// Thaws the control groups in the text of a task's `/proc/PID/cgroup`.
pub(super) fn thaw(membership: &[u8]) {
    for (file, state) in freezers(membership, Path::new(MOUNT)) {
        if let Err(error) = std::fs::write(&file, state) {
            tracing::debug!(file = %file.display(), %error, "not thawed");
        }
    }
}

/// What to write where: the freezer of version 1 has a hierarchy, that of version 2 is in all groups.
fn freezers(membership: &[u8], mount: &Path) -> Vec<(PathBuf, &'static str)> {
    let lines = membership.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let path = Path::new(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
            match controllers {
                b"freezer" => Some((
                    mount.join("freezer").join(path).join("freezer.state"),
                    "THAWED",
                )),
                b"" => Some((mount.join(path).join("cgroup.freeze"), "0")),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_freezers_of_a_task() {
        let found = |text: &[u8]| freezers(text, Path::new("/m"));
        assert_eq!(
            found(b"4:memory:/default/c1\n3:freezer:/default/a:b\n0::/\n"),
            [
                ("/m/freezer/default/a:b/freezer.state".into(), "THAWED"),
                ("/m/cgroup.freeze".into(), "0"),
            ]
        );
        assert_eq!(found(b"nonsense\n1:x\n"), []);
    }
}
