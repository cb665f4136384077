//! Descriptors of files at which nobody can look.
//!
//! CRIU begins with a stat(2) of each (`fill_fd_params`). The directory of the descriptors of a
//! process that has ended does not let itself be looked at (`proc_fd_getattr` of the kernel).

use std::collections::HashSet;

use super::{Found, Held, Kind};
use crate::process::{ProcessError, UseKind};

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    for one in held.living() {
        let seen = one.uses.iter().map(|held| &held.kind);
        let seen: HashSet<&UseKind> = seen.filter(|kind| matches!(kind, UseKind::Fd(_))).collect();
        // To list them once more takes long if there are many.
        if one.process.descriptor_count() == Some(seen.len() as u64) {
            continue;
        }
        for fd in one.process.descriptors()? {
            let kind = UseKind::Fd(fd);
            // One that is new, of a process that runs, can be looked at.
            if seen.contains(&kind) || one.process.file_use(kind.clone())?.is_some() {
                continue;
            }
            let Ok(name) = one.process.link(&format!("fd/{fd}")) else {
                continue;
            };
            let name = crate::text::escape(&name);
            found.add(Kind::Unseen, one.process, Some(kind), name);
        }
    }
    Ok(())
}
