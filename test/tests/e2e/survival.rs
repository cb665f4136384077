//! A shim lives through what is asked of it, in any order and number, and leaves nothing when it
//! does not live: neither wrong requests, nor many containers, nor a SIGKILL at a bad moment.

mod crowd;
mod daemon;
mod footprint;
mod garbage;
mod gate;
mod killed;
mod requests;
mod served;

use std::env;

use remap_test::Runtime;

use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("survival::bad_requests", requests::bad).runtimes(REMAP),
    Scenario::new("survival::garbage", garbage::garbage).runtimes(REMAP),
    Scenario::new("survival::crowd", crowd::crowd).runtimes(REMAP),
    Scenario::new("survival::cycles", crowd::cycles).runtimes(REMAP),
    Scenario::new("survival::killed_at_create", killed::create).runtimes(DROP_IN),
    Scenario::new("survival::killed_at_start", killed::start).runtimes(DROP_IN),
    Scenario::new("survival::killed_at_exec", killed::exec).runtimes(DROP_IN),
    Scenario::new("survival::killed_at_delete", killed::delete).runtimes(DROP_IN),
    Scenario::new("survival::killed_with_group", killed::group).runtimes(DROP_IN),
    Scenario::new("survival::containerd_killed", daemon::killed)
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("survival::containerd_killed_stock", daemon::stock)
        .runtimes(&[Runtime::Stock])
        .full(),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

/// containerd 1.7's `ctr` keeps the choice of a runc from all but the stock runtime's name.
const DROP_IN: &[Runtime] = &[Runtime::DropIn];

/// Whether this is a full run.
fn is_full() -> bool {
    env::var_os("REMAP_TEST_FULL").is_some_and(|value| value == "1")
}
