//! The service of systemd that containerd is, if it is one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::program::{self, ProgramError};

/// systemd itself gives a service up after 90 s, each for its end and its start (systemd-system.conf(5)).
const LIMIT: Duration = Duration::from_secs(240);

/// The unit that a process belongs to, by its control group (systemd.unit(5)).
pub(crate) fn unit_of(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    // systemd runs here, and not only where the control groups were made.
    Path::new("/run/systemd/system")
        .exists()
        .then(|| unit(&groups))?
}

fn unit(groups: &str) -> Option<String> {
    let parts = groups.lines().flat_map(|line| line.split('/'));
    let mut units = parts.filter(|part| part.ends_with(".service"));
    units.next().map(str::to_owned)
}

/// Has systemd `stop`, `start` or `restart` a unit, and waits until it is done.
///
/// # Errors
/// systemd says no.
pub(crate) fn ask(what: &str, unit: &str) -> Result<(), ProgramError> {
    let systemctl = Path::new("systemctl");
    let answer = program::ask_within(LIMIT, systemctl, None, &[what, unit])?;
    answer.ok(systemctl).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_names_the_unit() {
        let v2 = "0::/system.slice/containerd.service\n";
        assert_eq!(unit(v2).as_deref(), Some("containerd.service"));
        let v1 = "4:memory:/system.slice/k3s.service/x\n1:name=systemd:/y\n";
        assert_eq!(unit(v1).as_deref(), Some("k3s.service"));
        assert_eq!(unit("0::/user.slice/session-1.scope\n"), None);
    }
}
