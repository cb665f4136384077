//! The cgroup that the options want the shim itself in.

use std::{io, path::Path};

use crate::cgroup::{MOUNT, roots};

/// Moves process `pid` into `cgroup`, made if it is missing, in every hierarchy: the unified one,
/// or each controller's of cgroup v1. An empty name means: leave it where it is.
///
/// # Errors
/// What the system says; the process may have been moved in some hierarchies then.
pub(crate) fn join(cgroup: &str, pid: u32) -> io::Result<()> {
    let cgroup = cgroup.trim_matches('/');
    if cgroup.is_empty() {
        return Ok(());
    }
    for root in roots(Path::new(MOUNT))? {
        let directory = root.join(cgroup);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("cgroup.procs"), pid.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cgroup_is_no_move() {
        assert!(join("", 0).is_ok());
        assert!(join("/", 0).is_ok());
    }
}
