//! What does not forbid a checkpoint, and should be known before one is taken. Pure.

use super::{Decision, FilePlan, RemapPlan};
use crate::intent::Intent;
use crate::mountmap::{Mount, MountClass};
use crate::policy::MountPolicy;

impl RemapPlan {
    /// What the operator should know of a checkpoint as intended.
    #[must_use]
    pub fn warnings(&self, intent: &Intent) -> Vec<String> {
        let mounts = self.map.mounts.iter();
        let shared = mounts
            .clone()
            .filter_map(|mount| self.left_with_others(mount));
        let ghosts = mounts
            .clone()
            .filter_map(|mount| self.only_what_is_open(mount));
        let stays = mounts.filter_map(|mount| self.expected_there(mount));
        self.sessions_warning(intent)
            .into_iter()
            .chain(shared)
            .chain(ghosts)
            .chain(stays)
            .collect()
    }

    /// Exec sessions that are not in the way.
    fn sessions_warning(&self, intent: &Intent) -> Option<String> {
        let in_the_way = intent.exit && !intent.policy.lose_exec_sessions;
        if self.exec_sessions.is_empty() || in_the_way {
            return None;
        }
        let fate = if intent.exit {
            "are lost"
        } else {
            "go on here"
        };
        Some(format!(
            "processes of exec sessions are not part of the checkpoint and {fate}: {}",
            self.sessions()
        ))
    }

    /// A shared tmpfs that is not in the way: what the container has not open there stays, unless
    /// an annotation says otherwise.
    fn left_with_others(&self, mount: &Mount) -> Option<String> {
        let is_shared = matches!(mount.class, MountClass::ExternalTmpfsShared { .. });
        if is_shared && mount.is_carried() {
            return Some(format!(
                "the tmpfs at {} is used by processes outside the container as well: their files are copied as they are at the moment",
                mount.destination.display()
            ));
        }
        let in_the_way = |file: &FilePlan| file.decision == Decision::Shared && file.is_on(mount);
        if !is_shared || mount.is_ghosted() || self.files.iter().any(in_the_way) {
            return None;
        }
        let carried = |file: &&FilePlan| file.decision == Decision::Carried && file.is_on(mount);
        let carried = self.files.iter().filter(carried).count();
        Some(format!(
            "the tmpfs at {} is used by processes outside the container as well: of its contents only what the container has open is carried ({carried} inodes)",
            mount.destination.display()
        ))
    }

    /// A mount whose policy wants files in the images: what is not open there is not among them.
    fn only_what_is_open(&self, mount: &Mount) -> Option<String> {
        let policy = mount.policy.filter(|_| mount.is_ghosted())?;
        let ghosts = [
            Decision::Ghost,
            Decision::GhostRelinked,
            Decision::GhostNameless,
        ];
        let is_ghost = |file: &&FilePlan| ghosts.contains(&file.decision) && file.is_on(mount);
        let count = self.files.iter().filter(is_ghost).count();
        let names = match policy {
            MountPolicy::Nameless => "without their names",
            _ => "with their names",
        };
        Some(format!(
            "by policy ({policy}) only what the container has open at {} goes along ({count} inodes), {names}, as files of its own",
            mount.destination.display()
        ))
    }

    /// Files that are open on a mount that is not carried.
    fn expected_there(&self, mount: &Mount) -> Option<String> {
        let stays = |file: &&FilePlan| file.decision == Decision::Stays && file.is_on(mount);
        let count = self.files.iter().filter(stays).count();
        let files = if count == 1 { "file" } else { "files" };
        if mount.is_to(MountPolicy::Ignore) && count > 0 {
            return Some(format!(
                "{count} {files} in use at {}, of which an annotation says ignore: not carried, and a name that is gone here is lost; CRIU decides on the target",
                mount.destination.display()
            ));
        }
        (count > 0).then(|| {
            format!(
                "{count} {files} in use at {} ({}): not carried, must be there on the target with the same size",
                mount.destination.display(),
                mount.fs_type
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::Device;
    use crate::mountmap::{EphemeralReason, MountMap};
    use crate::plan::MountPoint;
    use crate::scan::ExecSession;

    const DEVICE: Device = Device { major: 0, minor: 9 };

    fn plan(class: MountClass, decisions: &[Decision]) -> RemapPlan {
        let mount = Mount {
            device: DEVICE,
            fs_type: "ext4".into(),
            ..Mount::tmpfs(1, "/data", class)
        };
        let file = |(inode, decision): (u64, &Decision)| FilePlan {
            device: DEVICE,
            inode,
            mount: Some(MountPoint("/data".into())),
            links: 1,
            size_bytes: 0,
            allocated_bytes: 0,
            holders: vec![],
            decision: decision.clone(),
        };
        RemapPlan {
            version: crate::plan::PLAN_VERSION,
            map: MountMap {
                mounts: vec![mount],
            },
            files: (0..).zip(decisions).map(file).collect(),
            exec_sessions: vec![],
            obstacles: vec![],
            ghost_limit_bytes: 0,
        }
    }

    #[test]
    fn files_that_the_target_must_have_are_counted() {
        let class = MountClass::ExternalEphemeral {
            reason: EphemeralReason::NotTmpfs,
        };
        let warnings = plan(class, &[Decision::Stays, Decision::Stays, Decision::Ghost])
            .warnings(&Intent::default());
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert!(
            warning.starts_with("2 files in use at /data (ext4)"),
            "{warning}"
        );
    }

    #[test]
    fn a_shared_tmpfs_is_mentioned_unless_it_is_in_the_way() {
        let class = MountClass::ExternalTmpfsShared { others: vec![] };
        let idle = plan(class.clone(), &[]).warnings(&Intent::default());
        assert!(
            idle[0].contains("/data") && idle[0].contains("(0 inodes)"),
            "{idle:?}"
        );
        let own = plan(class.clone(), &[Decision::Carried]).warnings(&Intent::default());
        assert!(own[0].contains("(1 inodes)"), "{own:?}");
        let used = plan(class, &[Decision::Shared]);
        assert_eq!(used.warnings(&Intent::default()), Vec::<String>::new());
    }

    #[test]
    fn a_policy_that_takes_only_what_is_open_is_mentioned() {
        let class = MountClass::ExternalTmpfsShared { others: vec![] };
        let decisions = [Decision::Ghost, Decision::GhostNameless];
        let mut plan = plan(class, &decisions);
        plan.map.mounts[0].policy = Some(MountPolicy::Nameless);
        let warnings = plan.warnings(&Intent::default());
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert!(
            warning.contains("/data goes along (2 inodes), without"),
            "{warning}"
        );
    }

    #[test]
    fn exec_sessions_are_mentioned_unless_they_are_in_the_way() {
        let mut plan = plan(MountClass::Internal, &[]);
        plan.exec_sessions.push(ExecSession {
            pid: 9,
            command: "bash".into(),
        });
        let warnings = |exit, lose_exec_sessions| {
            let mut intent = Intent::default();
            (intent.exit, intent.policy.lose_exec_sessions) = (exit, lose_exec_sessions);
            plan.warnings(&intent)
        };
        assert!(warnings(false, false)[0].contains("go on here: pid 9 (bash)"));
        assert!(warnings(true, true)[0].contains("are lost: pid 9 (bash)"));
        assert!(warnings(true, false).is_empty());
    }
}
