//! What there is to hold.

mod carried;
mod directories;
mod events;
mod ghosts;
mod locks;
mod lower;
mod mappings;
mod memfds;
mod names;
mod plain;
mod pods;
mod refused;
mod semaphores;
mod sockets;
mod streams;
mod sync;
mod sysv;
mod tasks;
mod timers;

use std::convert::Infallible;

use anyhow::Result;

/// Sets a workload up, with its arguments, and stays.
pub(crate) type SetUp = fn(&[String]) -> Result<Infallible>;

/// The workloads of a file, by name.
type List = &'static [(&'static str, SetUp)];

const LISTS: &[List] = &[
    plain::LIST,
    semaphores::LIST,
    pods::LIST,
    carried::LIST,
    mappings::LIST,
    ghosts::LIST,
    memfds::LIST,
    names::LIST,
    directories::LIST,
    lower::LIST,
    sync::LIST,
    tasks::LIST,
    streams::LIST,
    sockets::LIST,
    events::LIST,
    timers::LIST,
    sysv::LIST,
    locks::LIST,
    refused::LIST,
];

/// The workload called `name`.
pub(crate) fn find(name: &str) -> Option<SetUp> {
    let mut all = LISTS.iter().copied().flatten();
    all.find(|(known, _)| *known == name)
        .map(|(_, set_up)| *set_up)
}
