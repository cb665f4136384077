//! What only a virtual machine can show, see [`crate::vm`]: the figures of cgroup v2, tasks that
//! are stopped, and systemd.

mod figures;
mod stopped;
mod systemd;

use remap_test::Runtime;

use crate::scenario::Scenario;

/// Run in such a machine only.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("machine::figures", figures::figures),
    Scenario::new("machine::stopped", stopped::moves).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    systemd::MOVES,
    systemd::STOCK,
    systemd::BESIDE,
];
