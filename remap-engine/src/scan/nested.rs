//! Mount namespaces within the container, as `unshare --mount` makes them. CRIU dumps them with the
//! tasks; only what is bound from outside it knows by the mounts of init alone, and a copy of such a
//! mount is a bind of it (`resolve_external_mounts`, `search_bindmounts`).

use std::collections::{HashMap, HashSet};

use super::viewers::Viewers;
use crate::mountinfo::MountEntry;
use crate::mountmap::{Mount, MountClass, MountMap};
use crate::process::FileUse;

/// Has each use by way of a mount that init does not see count as one by init's mount of the same
/// file system, and one by way of a bind that the container has made of an external mount as one by
/// that. Returns the mounts of file systems of which init has none: those are CRIU's business.
pub(super) fn adopt(map: &MountMap, viewers: &Viewers, uses: &mut [FileUse]) -> Vec<Mount> {
    let known: HashSet<u64> = map.mounts.iter().map(|mount| mount.id).collect();
    let binds = binds_of_external(map);
    let mut own: Vec<Mount> = Vec::new();
    for one in uses {
        if let Some(id) = binds.get(&one.mount_id) {
            one.mount_id = *id;
        }
        if known.contains(&one.mount_id) || own.iter().any(|mount| mount.id == one.mount_id) {
            continue;
        }
        let Some(entry) = viewers.find(one).and_then(|viewer| viewer.mount(one)) else {
            continue;
        };
        match counterpart(map, entry) {
            Some(mount) => one.mount_id = mount.id,
            None => own.push(internal(entry)),
        }
    }
    own
}

/// The external mount behind each mount that is none itself, but shows a part of one.
fn binds_of_external(map: &MountMap) -> HashMap<u64, u64> {
    let external = |own: &Mount| {
        let mut mounts = map.mounts.iter().filter(|mount| mount.is_external());
        let shows =
            |mount: &&Mount| mount.device == own.device && own.root.starts_with(&mount.root);
        mounts.find(shows).map(|mount| mount.id)
    };
    let own = map.mounts.iter().filter(|mount| !mount.is_external());
    own.filter_map(|own| Some((own.id, external(own)?)))
        .collect()
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

fn internal(entry: &MountEntry) -> Mount {
    Mount {
        destination: entry.mount_point.clone(),
        id: entry.id,
        device: entry.device,
        root: entry.root.clone(),
        fs_type: entry.fs_type.clone(),
        fs_options: entry.super_options.clone(),
        asked_for: None,
        along: false,
        upon_bind: false,
        source: None,
        policy: None,
        class: MountClass::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;

    #[test]
    fn a_bind_of_an_external_mount_is_that_mount() {
        let mounts = "1 0 0:1 / / rw - overlay o rw\n2 1 0:2 /a /a rw - tmpfs t rw\n\
                      3 1 0:2 /a/b /own rw - tmpfs t rw\n4 1 0:2 /c /other rw - tmpfs t rw\n";
        let mounts = mountinfo::parse(mounts.as_bytes()).unwrap();
        let mut map = MountMap {
            mounts: mounts.iter().map(internal).collect(),
        };
        map.mounts[1].class = MountClass::ExternalTmpfsPrivate;
        assert_eq!(binds_of_external(&map), HashMap::from([(3, 2)]));
    }

    #[test]
    fn a_copy_of_a_mount_is_that_mount() {
        let entries = |text: &str| mountinfo::parse(text.as_bytes()).unwrap();
        let mounts = entries(
            "1 0 0:1 / / rw - overlay o rw\n2 1 0:2 /a /a rw - tmpfs t rw\n3 1 0:2 / /whole rw - tmpfs t rw\n",
        );
        let map = MountMap {
            mounts: mounts.iter().map(internal).collect(),
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
