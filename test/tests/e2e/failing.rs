//! Files that cannot be written or read, or that somebody changes, in the middle of a
//! checkpoint or before a restore: the error names the file and the cause, and all is
//! as before.

mod damaged;
mod replaced;
mod storage;

use remap_test::Runtime;

use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("failing::images", storage::images).runtimes(DROP_IN),
    Scenario::new("failing::work", storage::work).runtimes(DROP_IN),
    Scenario::new("failing::restore", storage::restore).runtimes(DROP_IN),
    Scenario::new("failing::image_lost", replaced::image_lost).runtimes(DROP_IN),
    Scenario::new("failing::source_replaced", replaced::source).runtimes(DROP_IN),
    Scenario::new("failing::contents_changed", replaced::contents).runtimes(DROP_IN),
    Scenario::new("failing::bundle", replaced::bundle_unreadable).runtimes(DROP_IN),
    Scenario::new("failing::damaged", damaged::images).runtimes(DROP_IN),
];

/// Only under the stock runtime's name: see [`crate::interrupted`].
const DROP_IN: &[Runtime] = &[Runtime::DropIn];

/// Whether the container is to end with the checkpoint.
fn in_turn() -> impl Iterator<Item = bool> {
    [false, true].into_iter().cycle()
}
