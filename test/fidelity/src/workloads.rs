//! What there is to hold.

mod carried;
mod ghosts;
mod kernel;
mod memfds;
mod names;
mod plain;
mod refused;
mod semaphores;
mod sync;
mod tasks;

use std::convert::Infallible;

use anyhow::Result;

/// Sets a workload up, with its arguments, and stays.
pub(crate) type SetUp = fn(&[String]) -> Result<Infallible>;

/// The workloads of a file, by name.
type List = &'static [(&'static str, SetUp)];

const LISTS: &[List] = &[
    plain::LIST,
    semaphores::LIST,
    carried::LIST,
    ghosts::LIST,
    memfds::LIST,
    names::LIST,
    sync::LIST,
    tasks::LIST,
    kernel::LIST,
    refused::LIST,
];

/// The workload called `name`.
pub(crate) fn find(name: &str) -> Option<SetUp> {
    let mut all = LISTS.iter().copied().flatten();
    all.find(|(known, _)| *known == name)
        .map(|(_, set_up)| *set_up)
}
