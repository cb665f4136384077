//! The namespaces of the tasks in the images.

use std::path::Path;

use super::image::{self, ImageError, Magic};

/// CRIU's `inventory_entry`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct Inventory {
    /// What CRIU itself was in.
    #[prost(message, optional, tag = "3")]
    root_ids: Option<Ids>,
}

/// CRIU's `task_kobj_ids_entry`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Ids {
    #[prost(uint32, optional, tag = "6")]
    net_ns_id: Option<u32>,
}

/// CRIU's `pstree_entry`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Task {
    #[prost(uint32, required, tag = "1")]
    pid: u32,
}

/// Whether the tasks were in another network namespace than CRIU, which is the host's: then CRIU restores
/// them into one of their own (`prepare_pstree_kobj_ids`), be it empty, or the one that it is given. None, if
/// the images do not say.
///
/// # Errors
/// An image is missing or damaged.
pub(crate) fn had_own_network(images: &Path) -> Result<Option<bool>, ImageError> {
    let tasks: Vec<Task> = image::read(&images.join("pstree.img"), Magic::Pstree)?;
    let inventory: Vec<Inventory> = image::read(&images.join("inventory.img"), Magic::Inventory)?;
    // The first is the root of all (`dump_pstree`).
    let Some(root) = tasks.first() else {
        return Ok(None);
    };
    let ids = images.join(format!("ids-{}.img", root.pid));
    if !ids.exists() {
        return Ok(None);
    }
    let ids: Vec<Ids> = image::read(&ids, Magic::Ids)?;
    let root = ids.first().and_then(|ids| ids.net_ns_id);
    let criu = inventory
        .first()
        .and_then(|inventory| inventory.root_ids?.net_ns_id);
    Ok(match (root, criu) {
        (Some(root), Some(criu)) => Some(root != criu),
        _ => None,
    })
}

/// Images with one task, in a network namespace of its own or not; for tests.
#[cfg(test)]
pub(crate) fn fake(images: &Path, own_network: bool) {
    let entry = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_le_bytes();
        [&length, message].concat()
    };
    let write = |name: &str, magic: &[u32], message: &[u8]| {
        let magic: Vec<u8> = magic.iter().flat_map(|word| word.to_le_bytes()).collect();
        std::fs::write(images.join(name), [magic, entry(message)].concat()).unwrap();
    };
    const COMMON: u32 = 0x5456_4319;
    write(
        "pstree.img",
        &[COMMON, Magic::Pstree as u32],
        b"\x08\x01\x10\x00",
    );
    let number = if own_network {
        b"\x30\x0a"
    } else {
        b"\x30\x02"
    };
    write("ids-1.img", &[COMMON, Magic::Ids as u32], number);
    write(
        "inventory.img",
        &[Magic::Inventory as u32],
        b"\x08\x02\x1a\x02\x30\x02",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_its_own_if_its_number_is() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path();
        fake(images, true);
        assert_eq!(had_own_network(images).unwrap(), Some(true));
        fake(images, false);
        assert_eq!(had_own_network(images).unwrap(), Some(false));
        std::fs::remove_file(images.join("ids-1.img")).unwrap();
        assert_eq!(had_own_network(images).unwrap(), None);
        std::fs::remove_file(images.join("inventory.img")).unwrap();
        assert!(had_own_network(images).is_err());
    }
}
