//! Whatever is killed, fills up or takes too long in the middle of a checkpoint or a
//! restore: all is as before.
//!
//! CRIU is held in a stage of its work by an action script of the user's
//! ([`window`]); then the scenario does its damage.

mod cleanup;
mod dump;
pub(crate) mod ground;
mod limits;
pub(crate) mod processes;
pub(crate) mod restore;
mod services;
mod upgrade;
pub(crate) mod window;

use remap_test::Runtime;

use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("interrupted::criu_late", dump::criu_late).runtimes(DROP_IN),
    Scenario::new("interrupted::criu_early", dump::criu_early).runtimes(DROP_IN),
    Scenario::new("interrupted::runc", dump::runc).runtimes(DROP_IN),
    Scenario::new("interrupted::runc_at_exit", dump::runc_at_exit).runtimes(DROP_IN),
    Scenario::new("interrupted::script", dump::script).runtimes(DROP_IN),
    Scenario::new("interrupted::paused", dump::paused).runtimes(DROP_IN),
    Scenario::new("interrupted::script_hangs", limits::script_hangs).runtimes(DROP_IN),
    Scenario::new("interrupted::criu_hangs", limits::criu_hangs).runtimes(DROP_IN),
    Scenario::new(
        "interrupted::no_room_for_images",
        limits::no_room_for_images,
    )
    .runtimes(DROP_IN),
    Scenario::new(
        "interrupted::no_room_for_contents",
        limits::no_room_for_contents,
    )
    .runtimes(DROP_IN),
    Scenario::new("interrupted::shim", services::shim).runtimes(DROP_IN),
    Scenario::new("interrupted::shim_when_held", services::shim_when_held).runtimes(DROP_IN),
    Scenario::new("interrupted::containerd", services::containerd).runtimes(DROP_IN),
    Scenario::new(
        "interrupted::containerd_paused",
        services::containerd_paused,
    )
    .runtimes(DROP_IN),
    Scenario::new("interrupted::client", services::client).runtimes(DROP_IN),
    Scenario::new(
        "interrupted::client_of_directory",
        services::client_of_directory,
    )
    .runtimes(DROP_IN),
    Scenario::new("interrupted::clean_up_fails", cleanup::later).runtimes(DROP_IN),
    Scenario::new("upgrade::running", upgrade::running).runtimes(DROP_IN),
    Scenario::new("upgrade::interrupted", upgrade::interrupted).runtimes(DROP_IN),
    Scenario::new("interrupted::restore_criu", restore::criu).runtimes(BOTH),
    Scenario::new("interrupted::restore_runc", restore::runc).runtimes(DROP_IN),
    Scenario::new("interrupted::restore_shim", restore::shim).runtimes(DROP_IN),
    Scenario::new(
        "interrupted::restore_shim_with_ghosts",
        restore::shim_with_ghosts,
    )
    .runtimes(DROP_IN),
    Scenario::new("interrupted::restore_client", restore::client).runtimes(DROP_IN),
    Scenario::new("interrupted::restore_containerd", restore::containerd).runtimes(DROP_IN),
    Scenario::new("interrupted::stock", services::stock).runtimes(&[Runtime::Stock]),
    Scenario::new("interrupted::restore_hangs", restore::script_hangs).runtimes(DROP_IN),
];

const BOTH: &[Runtime] = &[Runtime::Remap, Runtime::DropIn];

/// Only under the stock runtime's name: containerd 1.7's `ctr` keeps the options of
/// `ctr task checkpoint` from all others.
const DROP_IN: &[Runtime] = &[Runtime::DropIn];
