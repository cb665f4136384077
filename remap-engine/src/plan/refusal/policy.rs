//! What the policy of the container's annotations forbids, and what of it cannot be done. Pure.

use super::Refusal;
use crate::intent::Intent;
use crate::mountmap::Mount;
use crate::plan::{Decision, FilePlan, RemapPlan};
use crate::policy::{MOUNTS, MountPolicy, Override};

/// So many of the files that are in the way of a mount's policy are named.
const NAMED: usize = 8;

impl RemapPlan {
    /// Everything that the policy forbids.
    pub(super) fn policy_refusals(&self, intent: &Intent) -> Vec<Refusal> {
        let mounts = &self.map.mounts;
        let overrides = intent.policy.overrides.iter();
        let unmatched = overrides.filter_map(|one| self.matches_none(one));
        let impossible = mounts.iter().filter_map(impossible);
        let forbidden = mounts.iter().filter_map(|mount| self.forbidden(mount));
        unmatched.chain(impossible).chain(forbidden).collect()
    }

    /// A policy that matches no mount would protect nothing, and say nothing.
    fn matches_none(&self, wanted: &Override) -> Option<Refusal> {
        if !self.map.meant_by(wanted).is_empty() {
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        for mount in &self.map.mounts {
            let name = crate::text::escape(mount.destination.as_os_str());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(Refusal {
            what: format!(
                "the annotation {MOUNTS} names {}, which is no mount of this container",
                wanted.destination.display()
            ),
            remedy: format!("name one of its mounts: {}", names.join(", ")),
        })
    }

    /// Files on a mount of which none may be held.
    fn forbidden(&self, mount: &Mount) -> Option<Refusal> {
        let on_it = |file: &&FilePlan| file.decision == Decision::Forbidden && file.is_on(mount);
        let held: Vec<&FilePlan> = self.files.iter().filter(on_it).collect();
        if held.is_empty() || !mount.is_to(MountPolicy::Refuse) {
            return None;
        }
        let named: Vec<String> = held.iter().take(NAMED).map(|file| file.held()).collect();
        let more = match held.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(Refusal {
            what: format!(
                "the annotation {MOUNTS} forbids a checkpoint while a file on the mount at {} is in use: {}{more}",
                mount.destination.display(),
                named.join(", ")
            ),
            remedy: "have them closed before the checkpoint".into(),
        })
    }
}

/// A policy that the mount's kind does not allow.
fn impossible(mount: &Mount) -> Option<Refusal> {
    let (policy, why) = (mount.policy?, mount.why_not()?);
    Some(Refusal {
        what: format!(
            "the annotation {MOUNTS} says {} of the mount at {}, which cannot be: {why}",
            policy.word(),
            mount.destination.display()
        ),
        remedy: "set another policy for it, or none".into(),
    })
}

#[cfg(test)]
mod tests;
