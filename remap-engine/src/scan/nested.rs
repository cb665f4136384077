//! Mount namespaces within the container, as `unshare --mount` makes them. CRIU dumps them with the
//! tasks; only what is bound from outside it knows by the mounts of init alone, and a copy of such a
//! mount is a bind of it (`resolve_external_mounts`, `search_bindmounts`).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::viewers::Viewers;
use super::{DeletedNames, NameState};
use crate::mountinfo::MountEntry;
use crate::mountmap::{Mount, MountMap};
use crate::process::FileUse;

/// Has each use by way of a mount that init does not see count as one by init's mount of the same
/// file system, and each by another way to what an external mount shows as one by that. Returns the
/// mounts of file systems of which init has none: those are CRIU's business.
pub(super) fn adopt(
    map: &MountMap,
    viewers: &Viewers,
    names: &DeletedNames,
    uses: &mut [FileUse],
) -> Vec<Mount> {
    let known: HashSet<u64> = map.mounts.iter().map(|mount| mount.id).collect();
    let ways = other_ways(map);
    let mut own: Vec<Mount> = Vec::new();
    for one in uses {
        if let Some(way) = ways.get(&one.mount_id)
            && (way.own || matches!(names.state(one), None | Some(NameState::Live)))
        {
            one.mount_id = way.to;
        }
        if known.contains(&one.mount_id) || own.iter().any(|mount| mount.id == one.mount_id) {
            continue;
        }
        let Some(entry) = viewers.find(one).and_then(|viewer| viewer.mount(one)) else {
            continue;
        };
        match counterpart(map, entry) {
            Some(mount) => one.mount_id = mount.id,
            None => own.push(Mount::internal(entry)),
        }
    }
    own
}

/// Another way to what an external mount shows.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// The external mount.
    to: u64,
    /// Whether the way is a bind that the container has made itself, on which CRIU can make names.
    own: bool,
}

/// The carried mount behind each mount that is not carried itself and shows a part of it: a bind that
/// the container has made, or one of the bundle that is read-only or of a single file. Also what is
/// behind the container's own binds of other external mounts.
fn other_ways(map: &MountMap) -> HashMap<u64, Way> {
    let way = |mount: &Mount| {
        let own = !mount.is_external();
        let shows = |other: &&Mount| {
            let is_in_it = mount.device == other.device && mount.root.starts_with(&other.root);
            is_in_it && other.id != mount.id
        };
        let all = || map.mounts.iter().filter(shows);
        let carried = all().find(|other| other.is_tmpfs_of_host());
        let external = all().find(|other| own && other.is_external());
        let to = carried.or(external)?.id;
        Some((mount.id, Way { to, own }))
    };
    let not_carried = map.mounts.iter().filter(|mount| {
        // The root is nobody's bind.
        !mount.is_tmpfs_of_host() && mount.destination != Path::new("/")
    });
    not_carried.filter_map(way).collect()
}

/// Init's mount of the same file system: the same part of it, or one that holds it, or any.
fn counterpart<'m>(map: &'m MountMap, entry: &MountEntry) -> Option<&'m Mount> {
    let of_device = map
        .mounts
        .iter()
        .filter(|mount| mount.device == entry.device);
    of_device.max_by_key(|mount| {
        (
            mount.root == entry.root,
            entry.root.starts_with(&mount.root),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;
    use crate::mountmap::{EphemeralReason, MountClass};

    #[test]
    fn another_way_to_an_external_mount_is_that_mount() {
        let mounts = "1 0 0:1 / / rw - overlay o rw\n2 1 0:2 /a /a rw - tmpfs t rw\n\
                      3 1 0:2 /a/b /own rw - tmpfs t rw\n4 1 0:2 /c /other rw - tmpfs t rw\n\
                      5 1 0:2 /a /ro ro - tmpfs t rw\n6 1 8:1 /v /v rw - ext4 e rw\n\
                      7 1 8:1 /v/w /w rw - ext4 e rw\n8 1 8:1 /v/x /x rw - ext4 e rw\n";
        let mounts = mountinfo::parse(mounts.as_bytes()).unwrap();
        let mut map = MountMap {
            mounts: mounts.iter().map(Mount::internal).collect(),
        };
        let ephemeral = |reason| MountClass::ExternalEphemeral { reason };
        map.mounts[1].class = MountClass::ExternalTmpfsPrivate;
        map.mounts[4].class = ephemeral(EphemeralReason::ReadOnly);
        map.mounts[5].class = ephemeral(EphemeralReason::NotTmpfs);
        map.mounts[7].class = ephemeral(EphemeralReason::NotTmpfs);
        let way = |to, own| Way { to, own };
        let expected = [(3, way(2, true)), (5, way(2, false)), (7, way(6, true))];
        assert_eq!(other_ways(&map), HashMap::from(expected));
    }

    #[test]
    fn a_copy_of_a_mount_is_that_mount() {
        let entries = |text: &str| mountinfo::parse(text.as_bytes()).unwrap();
        let mounts = entries(
            "1 0 0:1 / / rw - overlay o rw\n2 1 0:2 /a /a rw - tmpfs t rw\n3 1 0:2 / /whole rw - tmpfs t rw\n",
        );
        let map = MountMap {
            mounts: mounts.iter().map(Mount::internal).collect(),
        };
        let found = |line: &str| {
            let entry = entries(line).remove(0);
            counterpart(&map, &entry).map(|mount| mount.id)
        };
        assert_eq!(found("12 1 0:2 /a /x rw - tmpfs t rw"), Some(2));
        assert_eq!(found("13 1 0:2 / /x rw - tmpfs t rw"), Some(3));
        assert_eq!(found("14 1 0:1 /sub /x rw - overlay o rw"), Some(1));
        assert_eq!(found("15 1 0:9 / /x rw - tmpfs t rw"), None);
    }
}
