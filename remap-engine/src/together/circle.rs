//! The containers that are saved at one moment, seen from the one that is being saved.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::group::FreezeGroup;
use super::moment::{Moment, Saved};
use super::neighbour::{Neighbour, Neighbours};
use super::still::Stillness;
use super::{Together, id_of};
use crate::bundle::Bundle;
use crate::mountinfo::Device;
use crate::ownership::{self, Bystanders, Extent, Wanted};
use crate::plan::RemapPlan;
use crate::process::Process;

/// Changes with every reading (random(4)).
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// Who is not frozen by then does not stand still, for all that is known.
const TO_FREEZE: Duration = Duration::from_secs(2);

/// The container that is being saved, and those that stand still beside it.
#[derive(Debug)]
pub(crate) struct Circle {
    together: Together,
    bundle: PathBuf,
    group: FreezeGroup,
    /// What was known of the moment; none if it is a new one.
    known: Option<Moment>,
    companions: Vec<Companion>,
    /// What the container shares with those, or with others that are saved already.
    shared: BTreeMap<(u32, u32), BTreeSet<u64>>,
}

#[derive(Debug)]
struct Companion {
    neighbour: Neighbour,
    still: Stillness,
    shared: Vec<(Device, BTreeSet<u64>)>,
}

/// The moment is not one any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "container {0} ran while this one was saved, with which it shares files; pause it, and keep it paused until both are saved"
)]
pub(crate) struct Ran(String);

impl Circle {
    /// Looks around before the dump; `None` if the container shares nothing of what is carried.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub(crate) fn of(
        bundle: &Bundle,
        init: &Process,
        plan: &RemapPlan,
    ) -> std::io::Result<Option<Self>> {
        let Some(group) = FreezeGroup::of(init) else {
            return Ok(None);
        };
        let known = Moment::of(&bundle.path, init);
        let companions = companions(bundle, plan)?;
        if companions.is_empty() && known.is_none() {
            return Ok(None);
        }
        let member = id_of(bundle);
        let mut members: BTreeSet<String> = companions
            .iter()
            .map(|companion| companion.neighbour.id.clone())
            .collect();
        members.insert(member.clone());
        let earlier = known.iter().flat_map(|known| &known.members);
        members.extend(earlier.cloned());
        let moment = match &known {
            Some(known) => known.id.clone(),
            None => std::fs::read_to_string(RANDOM)?.trim().to_owned(),
        };
        let mut shared: BTreeMap<(u32, u32), BTreeSet<u64>> = BTreeMap::new();
        let of_companions = companions.iter().flat_map(|companion| &companion.shared);
        let of_earlier = known.iter().flat_map(|known| &known.shared);
        for (device, inodes) in of_companions.chain(of_earlier) {
            let all = shared.entry((device.major, device.minor)).or_default();
            all.extend(inodes);
        }
        let after = known
            .as_ref()
            .map(|known| gone_on(known, bundle, &member))
            .unwrap_or_default();
        Ok(Some(Self {
            together: Together {
                moment,
                member,
                members,
                after,
            },
            bundle: bundle.path.clone(),
            group,
            known,
            companions,
            shared,
        }))
    }

    /// What the manifest says.
    pub(crate) fn together(&self) -> &Together {
        &self.together
    }

    /// The inodes of a file system that are shared.
    pub(crate) fn shared(&self, device: Device) -> BTreeSet<u64> {
        let shared = self.shared.get(&(device.major, device.minor));
        shared.cloned().unwrap_or_default()
    }

    /// That all have stood still until now, when the contents are saved.
    ///
    /// # Errors
    /// One has run.
    pub(crate) fn confirm(&self) -> Result<(), Ran> {
        for Companion {
            neighbour, still, ..
        } in &self.companions
        {
            let frozen = neighbour.group.is_frozen();
            if !frozen || Stillness::of(&neighbour.group).as_ref() != Some(still) {
                return Err(Ran(neighbour.id.clone()));
            }
        }
        Ok(())
    }

    /// Tells the others, and those who come after, of the moment: the container is saved.
    pub(crate) fn saved(&self, ended: bool) {
        if !ended {
            self.wait_until_frozen();
        }
        let own = match Stillness::of(&self.group).filter(|_| !ended) {
            None => Saved::Ended,
            Some(still) => Saved::GoesOn(still),
        };
        let mut saved = self
            .known
            .as_ref()
            .map_or_else(BTreeMap::new, |known| known.saved.clone());
        saved.insert(self.together.member.clone(), own.clone());
        for companion in &self.companions {
            let path = &companion.neighbour.bundle;
            let mut shared: Vec<(Device, BTreeSet<u64>)> = companion.shared.clone();
            let mut theirs = saved.clone();
            // What others have told it of this moment still holds.
            let told = Moment::read(path).filter(|told| told.id == self.together.moment);
            if let Some(told) = told {
                shared.extend(told.shared);
                for (member, state) in told.saved {
                    theirs.entry(member).or_insert(state);
                }
            }
            let moment = Moment {
                id: self.together.moment.clone(),
                members: self.together.members.clone(),
                still: companion.still.clone(),
                saved: theirs,
                shared,
            };
            note(&moment, path);
        }
        if let Saved::GoesOn(still) = own {
            let shared = self.shared.iter().map(|((major, minor), inodes)| {
                let (major, minor) = (*major, *minor);
                (Device { major, minor }, inodes.clone())
            });
            let moment = Moment {
                id: self.together.moment.clone(),
                members: self.together.members.clone(),
                still,
                saved,
                shared: shared.collect(),
            };
            note(&moment, &self.bundle);
        }
    }

    /// CRIU leaves the tasks with the order to freeze, which takes a moment.
    fn wait_until_frozen(&self) {
        let begun = Instant::now();
        while !self.group.is_frozen() && begun.elapsed() < TO_FREEZE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The dump has failed, for which CRIU has run in the container's tasks; they themselves have
    /// not.
    pub(crate) fn not_saved(&self) {
        self.wait_until_frozen();
        let still = Stillness::of(&self.group).filter(|_| self.group.is_frozen());
        if let (Some(known), Some(still)) = (&self.known, still) {
            let moment = Moment {
                still,
                ..known.clone()
            };
            note(&moment, &self.bundle);
        }
    }
}

fn note(moment: &Moment, bundle: &std::path::Path) {
    if let Err(error) = moment.write(bundle) {
        let bundle = bundle.display();
        tracing::warn!(%error, %bundle, "its checkpoint will be one of another moment");
    }
}

/// The neighbours that stand still and hold inodes which are carried, too.
fn companions(bundle: &Bundle, plan: &RemapPlan) -> std::io::Result<Vec<Companion>> {
    let parts: Vec<(Device, HashSet<u64>)> = plan
        .carried_in_part()
        .map(|(mount, inodes)| (mount.device, inodes))
        .collect();
    let neighbours = Neighbours::of(bundle).into_along();
    if parts.is_empty() || neighbours.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<Wanted> = parts
        .iter()
        .map(|(device, inodes)| Wanted {
            device: *device,
            extent: Extent::Inodes(inodes.clone()),
            directories: false,
            own: HashSet::new(),
        })
        .collect();
    let others = ownership::other_users(&wanted, &HashSet::new(), &Bystanders::default())?;
    let mut pids: HashMap<i32, Option<usize>> = HashMap::new();
    let mut companions = Vec::new();
    let owner = |pid: i32| {
        let process = Process::pin(pid).ok()?;
        neighbours.iter().position(|one| one.group.has(&process))
    };
    let mut shared: Vec<Vec<(Device, BTreeSet<u64>)>> = vec![Vec::new(); neighbours.len()];
    for (wanted, others) in wanted.iter().zip(&others) {
        let mut by_neighbour: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for (inode, pid) in &others.inodes {
            if let Some(index) = *pids.entry(*pid).or_insert_with(|| owner(*pid)) {
                by_neighbour.entry(index).or_default().insert(*inode);
            }
        }
        for (index, inodes) in by_neighbour {
            if let Some(all) = shared.get_mut(index) {
                all.push((wanted.device, inodes));
            }
        }
    }
    for (neighbour, shared) in neighbours.into_iter().zip(shared) {
        // One that has ended meanwhile shares nothing any more.
        let still = Stillness::of(&neighbour.group);
        if let Some(still) = still.filter(|_| !shared.is_empty()) {
            companions.push(Companion {
                neighbour,
                still,
                shared,
            });
        }
    }
    Ok(companions)
}

/// Those that were saved before and may have run on since, so that what they share is not as it was.
fn gone_on(known: &Moment, bundle: &Bundle, member: &str) -> BTreeSet<String> {
    let neighbours = Neighbours::of(bundle).into_along();
    let stands = |id: &str, still: &Stillness| {
        let one = neighbours.iter().find(|neighbour| neighbour.id == id);
        one.is_some_and(|one| Stillness::of(&one.group).as_ref() == Some(still))
    };
    let has_gone_on = |(id, saved): &(&String, &Saved)| match saved {
        Saved::Ended => false,
        Saved::GoesOn(still) => id.as_str() != member && !stands(id, still),
    };
    let gone_on = known.saved.iter().filter(has_gone_on);
    gone_on.map(|(id, _)| id.clone()).collect()
}
