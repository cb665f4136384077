//! The mounts: external ones with what becomes of their contents, the others by name.

use remap_control::view::{Carried, Mount, Other, Policy};

use super::columns::align;
use super::list;
use crate::text::{bytes, printable, wrapped};

pub(super) fn render(mounts: &[Mount], carried: &[Carried], width: usize) -> String {
    let is_internal = |mount: &&Mount| mount.class == "internal";
    let heads = ["MOUNT POINT", "CLASS", "CONTENTS", "SOURCE ON THE HOST"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for mount in mounts.iter().filter(|mount| !is_internal(mount)) {
        rows.push(vec![
            printable(&mount.destination),
            class(mount),
            contents(mount, carried),
            mount.source.as_deref().map(printable).unwrap_or_default(),
        ]);
        if !mount.others.is_empty() {
            let others: Vec<String> = mount.others.iter().map(other).collect();
            let text = format!(
                "{} is used outside the container by {}",
                mount.destination,
                others.join(", ")
            );
            notes += &wrapped("  ", &text, width);
        }
    }
    for (mount, policy) in mounts
        .iter()
        .filter_map(|mount| Some((mount, mount.policy.as_ref()?)))
    {
        let text = format!(
            "{}: {}",
            printable(&mount.destination),
            by_annotation(policy)
        );
        notes += &wrapped("  ", &text, width);
    }
    let mut out = String::new();
    if rows.len() > 1 {
        out += &align(&rows);
    }
    out += &notes;
    // What a bind covers, as that of /dev/shm covers the tmpfs of ctr's specification, is not seen.
    let covered = |mount: &&Mount| {
        let mut external = mounts.iter().filter(|mount| !is_internal(mount));
        external.any(|other| other.destination == mount.destination)
    };
    let internal = mounts.iter().filter(is_internal);
    let seen = internal.filter(|mount| !covered(mount));
    let names = list(seen.map(|mount| &mount.destination));
    if !names.is_empty() {
        out += &wrapped("  left to CRIU and the snapshotter: ", &names, width);
    }
    out
}

fn other(other: &Other) -> String {
    let Other { pid, command, .. } = other;
    match &other.container {
        Some(id) => format!("pid {pid} ({command}, container {id})"),
        None => format!("pid {pid} ({command})"),
    }
}

fn by_annotation(policy: &Policy) -> String {
    let treatment = printable(&policy.treatment);
    match policy.limit_bytes {
        Some(limit) => format!("{treatment} up to {}, as an annotation says", bytes(limit)),
        None => format!("{treatment}, as an annotation says"),
    }
}

fn class(mount: &Mount) -> String {
    match mount.class.as_str() {
        "external_tmpfs_private" => "private tmpfs".to_owned(),
        "external_tmpfs_shared" => "shared tmpfs".to_owned(),
        "external_persistent" => format!("persistent {}", printable(&mount.fs_type)),
        "external_ephemeral" => format!("ephemeral {}", printable(&mount.fs_type)),
        other => printable(other),
    }
}

fn contents(mount: &Mount, carried: &[Carried]) -> String {
    let own = |one: &&Carried| one.mounts.contains(&mount.destination);
    match (mount.class.as_str(), &mount.reason) {
        ("external_tmpfs_private", _) => match carried.iter().find(own) {
            Some(one) => format!("carried, {}", bytes(one.allocated_bytes)),
            None => "carried".to_owned(),
        },
        ("external_tmpfs_shared", _) => match carried.iter().find(own) {
            Some(one) if !one.partial => format!("carried, {}", bytes(one.allocated_bytes)),
            Some(one) => format!("own files carried, {}", bytes(one.allocated_bytes)),
            None => "not carried".to_owned(),
        },
        ("external_persistent", _) => "expected on the target".to_owned(),
        ("external_ephemeral", Some(reason)) => {
            let why = match reason.as_str() {
                "not_tmpfs" => "no tmpfs",
                "read_only" => "read-only",
                "kubelet_volume" => "the kubelet's",
                "unused_below_bind" => "not used",
                "single_file" => "a single file",
                "control_groups" => "for control groups",
                "covered" => "another bind lies on it",
                "out_of_reach" => "covered, cannot be read",
                "ignored" => "to be ignored",
                other => other,
            };
            format!("not carried: {}", printable(why))
        }
        _ => "not carried".to_owned(),
    }
}
