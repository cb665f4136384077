//! Nothing that anybody has to care for.

use std::convert::Infallible;

use anyhow::Result;
use nix::sys::mman::MapFlags;

use super::List;
use crate::file::pattern;
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[("nothing", nothing)];

/// Only memory of its own.
fn nothing(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let memory = Mapping::anonymous(1 << 20, MapFlags::MAP_PRIVATE)?;
    memory.fill(&pattern("nothing", 1 << 20));
    memory.watch(role.watch(), "of memory", 0);
    role.run()
}
