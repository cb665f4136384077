//! The other containers on the host, and which of them move along.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::group::FreezeGroup;
use super::{SANDBOX, declared, id_of, ipc};
use crate::bundle::Bundle;
use crate::mountmap::Mount;
use crate::ownership::{Along, Others};
use crate::process::Process;

/// A container whose bundle lies beside.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) init: Process,
    pub(super) group: FreezeGroup,
    /// It is declared to move along.
    moves_along: bool,
}

/// All of them that live.
#[derive(Debug, Default)]
pub(crate) struct Neighbours(Vec<Neighbour>);

impl Neighbours {
    /// Those of a container. What cannot be told of one, as while it is made or deleted, leaves it
    /// out: its processes are then those of a stranger.
    pub(crate) fn of(bundle: &Bundle) -> Self {
        let beside = bundle.path.parent().map(std::fs::read_dir);
        let entries = beside.into_iter().flatten().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let others = paths.filter(|path| *path != bundle.path);
        Self(
            others
                .filter_map(|path| Neighbour::at(path, bundle))
                .collect(),
        )
    }

    /// Those that are declared to move along.
    pub(super) fn into_along(self) -> Vec<Neighbour> {
        let all = self.0.into_iter();
        all.filter(|neighbour| neighbour.moves_along).collect()
    }

    /// Says of each user of a mount which container it belongs to and whether that moves along. What
    /// those hold that do is then no more held by others.
    pub(crate) fn tell(&self, mount: &Mount, others: &mut Others) {
        let mut pids: BTreeSet<i32> = BTreeSet::new();
        for user in &mut others.users {
            let Ok(process) = Process::pin(user.pid) else {
                continue;
            };
            let Some(neighbour) = self.0.iter().find(|one| one.group.has(&process)) else {
                continue;
            };
            user.container = Some(neighbour.id.clone());
            user.along = neighbour.moves(mount);
            if user.along == Along::Stopped {
                pids.insert(user.pid);
            }
        }
        others.inodes.retain(|(_, pid)| !pids.contains(pid));
    }
}

impl Neighbour {
    fn at(path: PathBuf, own: &Bundle) -> Option<Self> {
        let pid = std::fs::read_to_string(path.join("init.pid")).ok()?;
        let init = Process::pin(pid.trim().parse().ok()?).ok()?;
        let id = path.file_name()?.to_str()?.to_owned();
        // A number that was given anew is that of a process in another group.
        let group = FreezeGroup::of(&init).filter(|group| group.is_of(&id))?;
        let bundle = Bundle::load(&path).ok()?;
        let sandbox = own.annotations.get(SANDBOX);
        let same_sandbox = sandbox.is_some() && bundle.annotations.get(SANDBOX) == sandbox;
        let owner = ipc::owner(own);
        let same_ipc = owner.is_some() && ipc::owner(&bundle) == owner;
        let own_id = id_of(own);
        let moves_along = same_sandbox
            || same_ipc
            || declared(own).any(|declared| declared == id)
            || declared(&bundle).any(|declared| declared == own_id);
        Some(Self {
            id,
            bundle: path,
            init,
            group,
            moves_along,
        })
    }

    fn moves(&self, mount: &Mount) -> Along {
        if !self.moves_along {
            return Along::No;
        }
        let shows = |(device, root)| device == mount.device && root == mount.root;
        let mut mounts = self.init.mounts().unwrap_or_default().into_iter();
        if !mounts.any(|entry| shows((entry.device, entry.root))) {
            Along::Elsewhere
        } else if self.group.is_frozen() {
            Along::Stopped
        } else {
            Along::Runs
        }
    }
}
