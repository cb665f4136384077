//! Files of the image, in a lower layer of the overlay that is the root file system.

use std::convert::Infallible;
use std::fs;

use anyhow::Result;
use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags};

use super::List;
use crate::file::{Life, open, open_as, watch_absence, watch_list, watch_name, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[("lower-deleted", deleted), ("lower-renamed", renamed)];

/// What the image has for these workloads: three files of 5000 bytes.
const DIR: &str = "/usr/share/fidelity";

/// Deleted while it is open: for reading only, by a mapping, and for writing, for which the overlay
/// has copied it up.
fn deleted(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let at = |name: &str| format!("{DIR}/{name}");
    let read = open_as(at("one"), OFlag::O_RDONLY)?;
    let mapped = open_as(at("two"), OFlag::O_RDONLY)?;
    let mapping = Mapping::of(mapped, 0, 5000, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE)?;
    let written = open(at("three"))?;
    for (name, file) in [("one", read), ("two", mapped), ("three", written)] {
        fs::remove_file(at(name))?;
        watch_open(role.watch(), name, file, Life::Uncounted);
        watch_absence(role.watch(), at(name));
    }
    mapping.watch(role.watch(), "two", 0);
    watch_list(role.watch(), DIR);
    role.run()
}

/// Renamed while it is open, for reading only and for writing.
fn renamed(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let at = |name: &str| format!("{DIR}/{name}");
    let read = open_as(at("one"), OFlag::O_RDONLY)?;
    let written = open(at("two"))?;
    for (name, file) in [("one", read), ("two", written)] {
        let new = at(&format!("{name}.new"));
        fs::rename(at(name), &new)?;
        watch_open(role.watch(), name, file, Life::Still);
        watch_name(role.watch(), new, Life::Still);
        watch_absence(role.watch(), at(name));
    }
    watch_list(role.watch(), DIR);
    role.run()
}
