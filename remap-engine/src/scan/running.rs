//! The scan of a container that runs on meanwhile: a look, not a promise.

use std::collections::HashSet;

use super::patience::Patience;
use super::viewers::Viewers;
use super::{DeletedNames, PATIENCE, Scan, ScanError, look};
use crate::bundle::Bundle;
use crate::mountmap::{HostMounts, MountClass};
use crate::ownership::{Bystanders, OtherUser, cgroup_path};
use crate::process::{self, Process};

/// How often a look is taken anew because something vanished in the middle of it.
const ATTEMPTS: u32 = 5;

/// Looks at the container whose init is `init` and which may run: what ends meanwhile is left out.
///
/// # Errors
/// As [`super::scan`]; or init has ended.
pub fn scan_running(bundle: &Bundle, init: i32) -> Result<Scan, ScanError> {
    let init = Process::pin(init)?;
    let mut attempt = 1;
    loop {
        match attempt_scan(bundle, &init) {
            Ok(scan) => return Ok(scan),
            Err(_) if init.has_ended() => return Err(ScanError::Ended { pid: init.pid() }),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(error) => tracing::debug!(%error, "the container changed while it was scanned"),
        }
        attempt += 1;
    }
}

/// Has the kernel look again at names that only look deleted, while the tasks run: what becomes valid
/// now need not be waited for while they are frozen. Tasks that end meanwhile are left out.
///
/// # Errors
/// Init has ended, or `/proc` cannot be read.
pub fn freshen_names(init: i32) -> Result<(), ScanError> {
    let tree = process::running_tree(init)?;
    let viewers = Viewers::of(&tree)?;
    if !viewers.may_block() {
        return Ok(());
    }
    let sole = viewers.sole_mounts();
    let mut uses = Vec::new();
    for process in &tree {
        uses.extend(process.file_uses(&sole).unwrap_or_default());
    }
    DeletedNames::look(&tree, &viewers, &mut uses, &Patience::new(PATIENCE));
    Ok(())
}

fn attempt_scan(bundle: &Bundle, init: &Process) -> Result<Scan, ScanError> {
    let mut tree = process::running_tree(init.pid())?;
    let mut scan = loop {
        match look(bundle, &tree, &Bystanders::default()) {
            // It is about to end, or starts another program: a look without it.
            Err(ScanError::Process(error)) if error.is_gone() && error.pid != init.pid() => {
                tree.retain(|process| process.pid() != error.pid);
            }
            scan => break scan?,
        }
    };
    if init.has_ended() {
        return Err(ScanError::Ended { pid: init.pid() });
    }
    leave_newcomers(&mut scan, bundle, init)?;
    Ok(scan)
}

/// Processes that the container has started since its tree was listed are its own: neither exec
/// sessions nor others.
fn leave_newcomers(scan: &mut Scan, bundle: &Bundle, init: &Process) -> Result<(), ScanError> {
    let tree = process::running_tree(init.pid())?;
    let members: HashSet<i32> = tree.iter().map(Process::pid).collect();
    scan.exec_sessions.retain(|session| {
        let lives = || Process::pin(session.pid).is_ok_and(|process| !process.has_ended());
        !members.contains(&session.pid) && lives()
    });
    let own = cgroup_path(&init.read("cgroup")?);
    let host = HostMounts::look().map_err(|source| ScanError::System {
        what: "list the mounts of the host",
        source,
    })?;
    for mount in &mut scan.map.mounts {
        let MountClass::ExternalTmpfsShared { others } = &mut mount.class else {
            continue;
        };
        let is_own =
            |other: &OtherUser| members.contains(&other.pid) || (own != "/" && other.cgroup == own);
        let newcomers = others.iter().filter(|other| is_own(other));
        let newcomers: HashSet<i32> = newcomers.map(|other| other.pid).collect();
        others.retain(|other| !newcomers.contains(&other.pid));
        if let Some(held) = scan.held_by_others.get_mut(&mount.id) {
            held.retain(|(_, pid)| !newcomers.contains(pid));
        }
        let is_a_systems = host.is_a_systems(mount.device, &mount.root, &bundle.path);
        if others.is_empty() && !is_a_systems {
            mount.class = MountClass::ExternalTmpfsPrivate;
            scan.held_by_others.remove(&mount.id);
        }
    }
    Ok(())
}
