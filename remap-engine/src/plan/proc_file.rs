//! What happens with a file of a process in `/proc`. Pure.

use super::Decision;
use crate::mountmap::Mount;
use crate::scan::{Owner, ProcFile};

/// The decision for a file of a process; `None` if CRIU opens it again by its path, and that is all.
pub(super) fn decide(file: &ProcFile, mount: &Mount) -> Option<Decision> {
    let number = file.number;
    if mount.is_external() {
        return Some(refused(format!(
            "it is of process {number} of another pid namespace, and would come back as one of whoever has that number on the target"
        )));
    }
    match (file.owner, file.thread) {
        // CRIU opens files before it makes threads, and has no helper for one.
        (Owner::Process, Some(thread)) => {
            let state = if file.is_there {
                "which is not there yet when a restore opens files"
            } else {
                "which has ended"
            };
            Some(refused(format!(
                "it is of thread {thread} of process {number}, {state}"
            )))
        }
        (Owner::Process, None) if file.is_there => None,
        (Owner::Process, None) => Some(refused(format!(
            "its process {number} has ended, another one has the number now, and a restore would open the file of that one"
        ))),
        (Owner::Thread, _) if file.is_there => Some(refused(format!(
            "it is of thread {number} by a directory of its own, which is not there yet when a restore opens files"
        ))),
        (Owner::Thread, _) => Some(refused(format!(
            "its process {number} has ended, and a thread has the number now"
        ))),
        (Owner::Outside, _) if file.is_there => Some(refused(format!(
            "its process {number} is not part of the checkpoint"
        ))),
        // CRIU takes the other one for its process, unless the kernel says that it is gone.
        (Owner::Outside, _) if !file.looks_deleted => Some(refused(format!(
            "its process {number} has ended, and one that is not part of the checkpoint has the number now"
        ))),
        (Owner::Outside | Owner::Nobody, _) if file.has_helper => Some(Decision::Procfs),
        (Owner::Outside | Owner::Nobody, _) => Some(refused(format!(
            "its process {number} has ended, and CRIU cannot make up this file"
        ))),
    }
}

fn refused(reason: String) -> Decision {
    Decision::Unsupported {
        reason,
        remedy: "have it closed before the checkpoint".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::Device;
    use crate::mountmap::{EphemeralReason, MountClass};

    fn decide_as(file: ProcFile, class: MountClass) -> Option<Decision> {
        let mount = Mount {
            device: Device { major: 0, minor: 5 },
            fs_type: "proc".into(),
            ..Mount::tmpfs(5, "/proc", class)
        };
        decide(&file, &mount)
    }

    fn of(owner: Owner, is_there: bool, looks_deleted: bool) -> ProcFile {
        ProcFile {
            number: 12,
            thread: None,
            is_there,
            owner,
            looks_deleted,
            has_helper: true,
        }
    }

    fn is_refused(file: ProcFile, because: &str) -> bool {
        match decide_as(file, MountClass::Internal) {
            Some(Decision::Unsupported { reason, .. }) => reason.contains(because),
            _ => false,
        }
    }

    #[test]
    fn of_a_living_process_nothing_is_to_be_done() {
        // The network's names look deleted after another look (`proc_net_dentry_ops`).
        for looks_deleted in [false, true] {
            let file = of(Owner::Process, true, looks_deleted);
            assert_eq!(decide_as(file, MountClass::Internal), None);
        }
    }

    #[test]
    fn a_process_that_has_ended_has_a_helper() {
        for looks_deleted in [false, true] {
            let file = of(Owner::Nobody, false, looks_deleted);
            assert_eq!(
                decide_as(file, MountClass::Internal),
                Some(Decision::Procfs)
            );
        }
        // Whoever has the number will not be there.
        let file = of(Owner::Outside, false, true);
        assert_eq!(
            decide_as(file, MountClass::Internal),
            Some(Decision::Procfs)
        );
        let mut deep = of(Owner::Nobody, false, false);
        deep.has_helper = false;
        assert!(is_refused(deep, "cannot make up"));
    }

    #[test]
    fn a_number_that_another_one_has_is_refused() {
        for looks_deleted in [false, true] {
            let of = |owner| of(owner, false, looks_deleted);
            assert!(is_refused(of(Owner::Process), "another one has the number"));
            assert!(is_refused(of(Owner::Thread), "a thread has the number"));
        }
        let outside = of(Owner::Outside, false, false);
        assert!(is_refused(outside, "one that is not part"));
    }

    #[test]
    fn what_a_restore_cannot_find_is_refused() {
        assert!(is_refused(of(Owner::Outside, true, false), "not part"));
        assert!(is_refused(of(Owner::Thread, true, false), "of its own"));
        for (is_there, because) in [(true, "not there yet"), (false, "which has ended")] {
            let mut file = of(Owner::Process, is_there, false);
            file.thread = Some(13);
            assert!(is_refused(file, because));
        }
        let class = MountClass::ExternalEphemeral {
            reason: EphemeralReason::NotTmpfs,
        };
        let other = decide_as(of(Owner::Nobody, true, false), class);
        assert!(matches!(other, Some(Decision::Unsupported { .. })));
    }
}
