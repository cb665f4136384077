//! What was left, and nobody uses.

use super::Check;
use super::ground::Ground;
use crate::prune::temporary;
use crate::text::{bytes, count};

pub(super) fn check(ground: &Ground) -> Check {
    const NAME: &str = "leftovers";
    let Some(containerd) = &ground.containerd else {
        return Check::unknown(
            NAME,
            "where containerd has its temporary directories is not known",
        );
    };
    let state = ground
        .config
        .as_ref()
        .map(crate::host::config::Config::state);
    let found = temporary::find(
        &containerd.temporary,
        state.as_deref(),
        temporary::LEAST_AGE,
    );
    match found {
        Err(error) => Check::unknown(NAME, remap_engine::phase::report(error.as_ref())),
        Ok(found) => {
            let unused = || found.iter().filter(|one| one.goes());
            let size = unused().map(|one| one.bytes).fold(0, u64::saturating_add);
            match unused().count() {
                0 => Check::ok(NAME, "there are none"),
                number => Check::warning(
                    NAME,
                    format!(
                        "{} of containerd's and CRIU's in {}, of {} in all, used by nobody",
                        count(number, "directory", "directories"),
                        containerd.temporary.display(),
                        bytes(size)
                    ),
                )
                .remedy("remapctl prune --yes"),
            }
        }
    }
}
