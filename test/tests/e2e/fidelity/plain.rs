//! Nothing to care for.

use super::{Class, Workload};

pub(super) const WORKLOADS: &[Workload] = &[Workload::new(
    "fidelity::nothing",
    Class::Nothing,
    "1 MiB of memory",
    &["nothing"],
)
.by_default()];
