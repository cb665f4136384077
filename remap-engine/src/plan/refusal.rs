//! What forbids a checkpoint, with the remedy. Pure.

mod mount;
mod obstacle;
mod policy;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Decision, FilePlan, RemapPlan};
use crate::criu::version::CriuVersion;
use crate::intent::{Intent, LOSE_EXEC_SESSIONS};
use crate::mountmap::{Mount, MountClass};
use crate::ownership::{Along, OtherUser};
use crate::policy::MOUNTS;
use crate::together::MOVES_WITH;

/// The first CRIU that runs the action scripts of a configuration file for runc, too.
const SCRIPTS_SINCE: CriuVersion = CriuVersion::new(3, 19);

/// Why a checkpoint is refused before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is in the way: the mount or the file, and who holds it.
    pub what: String,
    /// What the operator can do.
    pub remedy: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl RemapPlan {
    /// Everything that forbids a checkpoint as intended; empty if it may go ahead.
    #[must_use]
    pub fn refusals(&self, intent: &Intent) -> Vec<Refusal> {
        let shared = self
            .map
            .mounts
            .iter()
            .filter_map(|mount| self.shared_refusal(mount));
        let files = self
            .files
            .iter()
            .filter_map(|file| file_refusal(file, intent.ghost_limit_bytes));
        let sessions = self.lost_at_exit(intent);
        let obstacles = self
            .obstacles
            .iter()
            .filter_map(|one| obstacle::refusal(one, intent));
        let policy = self.policy_refusals(intent);
        policy
            .into_iter()
            .chain(self.needs_newer_criu(intent))
            .chain(self.mount_refusals(intent))
            .chain(shared)
            .chain(files)
            .chain(sessions)
            .chain(obstacles)
            .collect()
    }

    /// What an end of the container with the checkpoint would lose: the tasks that `exec` put into
    /// it, which CRIU does not dump.
    fn lost_at_exit(&self, intent: &Intent) -> Option<Refusal> {
        let lost =
            intent.exit && !intent.policy.lose_exec_sessions && !self.exec_sessions.is_empty();
        lost.then(|| Refusal {
            what: format!(
                "it is to end with the checkpoint, and processes of exec sessions would be lost: {}",
                self.sessions()
            ),
            remedy: format!("end them, or set the annotation {LOSE_EXEC_SESSIONS}=true"),
        })
    }

    /// The processes of exec sessions, for messages.
    pub(super) fn sessions(&self) -> String {
        let sessions = self.exec_sessions.iter();
        let sessions = sessions.map(|session| format!("pid {} ({})", session.pid, session.command));
        sessions.collect::<Vec<_>>().join(", ")
    }

    /// A shared tmpfs is in the way if others hold a file of the container's, too: a copy of it on
    /// another host would be a second one.
    fn shared_refusal(&self, mount: &Mount) -> Option<Refusal> {
        let MountClass::ExternalTmpfsShared { others } = &mount.class else {
            return None;
        };
        let on_it = |file: &&FilePlan| file.decision == Decision::Shared && file.is_on(mount);
        let shared: Vec<&FilePlan> = self.files.iter().filter(on_it).collect();
        if shared.is_empty() {
            return None;
        }
        let holds = |user: &&OtherUser| shared.iter().any(|file| file.inode == user.inode);
        let in_the_way = |user: &&OtherUser| user.along != Along::Stopped;
        let users: Vec<&OtherUser> = others.iter().filter(holds).filter(in_the_way).collect();
        let others: Vec<String> = users.iter().map(ToString::to_string).collect();
        let own: Vec<String> = shared.iter().map(|file| file.held()).collect();
        Some(Refusal {
            what: format!(
                "on the tmpfs at {} (from {}) the container uses files that processes outside the container use as well: {}; used by {}",
                mount.destination.display(),
                mount.source.as_deref().unwrap_or(Path::new("?")).display(),
                own.join(", "),
                others.join(", ")
            ),
            remedy: format!(
                "{}; or set the annotation {MOUNTS}={}=ghost: the container then takes along copies of its own, and shares them with nobody any more",
                shared_remedy(&users),
                crate::text::escape(mount.destination.as_os_str())
            ),
        })
    }

    /// Names are made again by CRIU's action script, which a CRIU that is too old does not run: it
    /// would end the container before the images are rewritten.
    fn needs_newer_criu(&self, intent: &Intent) -> Option<Refusal> {
        let rewritten = [Decision::GhostRelinked, Decision::GhostNameless];
        let is_rewritten = |file: &&FilePlan| rewritten.contains(&file.decision);
        let count = self.files.iter().filter(is_rewritten).count();
        let version = intent.criu.filter(|version| *version < SCRIPTS_SINCE)?;
        (count > 0).then(|| Refusal {
            what: format!(
                "{count} files are to go into the images by policy, and CRIU {version} does not wait for this until they are there"
            ),
            remedy: format!("use CRIU {SCRIPTS_SINCE} or newer, or another policy"),
        })
    }
}

/// What to do about users of the same files, who are named by their containers where that is known.
fn shared_remedy(users: &[&OtherUser]) -> String {
    let of = |along: Along| {
        let users = users.iter().filter(|user| user.along == along);
        let ids: BTreeSet<&str> = users.filter_map(|user| user.container.as_deref()).collect();
        ids.into_iter().collect::<Vec<_>>().join(", ")
    };
    let (running, elsewhere, others) = (of(Along::Runs), of(Along::Elsewhere), of(Along::No));
    let strangers = users.iter().any(|user| user.container.is_none());
    if !elsewhere.is_empty() {
        format!("bind the same directory in {elsewhere}, which is to move along")
    } else if strangers || (running.is_empty() && others.is_empty()) {
        "stop them, or let them use files of their own".into()
    } else if others.is_empty() {
        format!("pause {running}, which moves along, and keep it paused until all are saved")
    } else {
        format!(
            "stop them, let them use files of their own, or move the containers together: name {others} in the annotation {MOVES_WITH}, and pause all of them"
        )
    }
}

impl FilePlan {
    pub(crate) fn is_on(&self, mount: &Mount) -> bool {
        self.mount
            .as_ref()
            .is_some_and(|point| point.0 == mount.destination)
    }

    /// The inode and its holders, for messages.
    fn held(&self) -> String {
        let holders: Vec<String> = self
            .holders
            .iter()
            .map(|holder| {
                let name = crate::text::escape(&holder.name);
                format!("pid {} by {} on {name}", holder.pid, holder.by)
            })
            .collect();
        format!("inode {} held by {}", self.inode, holders.join(", "))
    }
}

fn file_refusal(file: &FilePlan, ghost_limit_bytes: Option<u64>) -> Option<Refusal> {
    match &file.decision {
        Decision::Unsupported { reason, remedy } => Some(Refusal {
            what: format!("{}: {reason}", file.held()),
            remedy: remedy.clone(),
        }),
        Decision::Ghost => {
            let limit = ghost_limit_bytes.filter(|limit| *limit < file.allocated_bytes)?;
            Some(Refusal {
                what: format!(
                    "{} has no name and {} bytes, and the CRIU configuration limits such files to {limit} bytes",
                    file.held(),
                    file.allocated_bytes
                ),
                remedy: "raise or remove ghost-limit there".into(),
            })
        }
        _ => None,
    }
}
