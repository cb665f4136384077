//! Room for checkpoints and restores.

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statfs, statvfs};

use super::Check;
use super::ground::Ground;
use crate::text::bytes;

/// Below this nothing can be done, in bytes.
const LEAST: u64 = 16 << 20;

/// Of a tmpfs, in which containerd and this project keep what is small.
const SMALL: u64 = 64 << 20;

/// Where checkpoints go: a small container's may be as large.
const LARGE: u64 = 1 << 30;

/// Where most have their shared memory.
const SHARED: &str = "/dev/shm";

/// The magic number of a tmpfs (statfs(2)).
const TMPFS: u64 = 0x0102_1994;

pub(super) fn checks(ground: &Ground) -> Vec<Check> {
    let config = ground.config.as_ref();
    let state = config.map(crate::host::config::Config::state);
    let images = config.map(crate::host::config::Config::root);
    let temporary = ground.containerd.as_ref().map(|one| one.temporary.clone());
    let or = |path: Option<PathBuf>, usual: &str| path.unwrap_or_else(|| usual.into());
    vec![
        of(
            "room-state",
            &or(state, "/run/containerd"),
            "the bundles of containers",
            SMALL,
        ),
        of(
            "room-temporary",
            &or(temporary, "/tmp"),
            "checkpoints on their way",
            LARGE,
        ),
        of(
            "room-images",
            &or(images, "/var/lib/containerd"),
            "checkpoints as images",
            LARGE,
        ),
        of("room-shm", Path::new(SHARED), "shared memory", SMALL),
    ]
}

/// How much is free for unprivileged users counts not: containerd is root's.
fn of(name: &'static str, dir: &Path, what: &str, enough: u64) -> Check {
    let shown = dir.display();
    let (space, kind) = match (statvfs(dir), statfs(dir)) {
        (Ok(space), Ok(kind)) => (space, kind),
        (Err(error), _) | (_, Err(error)) => {
            return Check::unknown(name, format!("{shown} cannot be looked at: {error}"));
        }
    };
    let StatVfs {
        f_bfree, f_frsize, ..
    } = space;
    let free = f_bfree.saturating_mul(f_frsize);
    let is_memory = u64::try_from(kind.f_type).is_ok_and(|kind| kind == TMPFS);
    let kind = if is_memory { ", in memory" } else { "" };
    let text = format!("{shown}, for {what}{kind}: {} are free", bytes(free));
    if free >= enough {
        return Check::ok(name, text);
    }
    let remedy = format!("df -h {shown}; remapctl prune");
    // Where a container's mount is kept each host decides for itself.
    if free < LEAST && dir != Path::new(SHARED) {
        return Check::failure(name, format!("{text}, too little for anything")).remedy(remedy);
    }
    Check::warning(name, format!("{text}, which may be too little")).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn what_is_not_there_is_not_known() {
        assert_eq!(
            of("x", Path::new("/nowhere"), "y", 1).outcome,
            Outcome::Unknown
        );
        assert_eq!(
            of("x", Path::new("/"), "y", u64::MAX).outcome,
            Outcome::Warning
        );
    }
}
