//! runc and crun, as containerd's children find them.

use std::path::Path;

use serde_json::Value;

use super::Check;
use super::ground::{Ground, install};
use crate::host::program;

/// The first runc whose checkpoints this project knows.
const RUNC: (u32, u32) = (1, 1);

/// What runc says of itself (its `features`; from 1.1 on).
const ENABLED: &str = "org.opencontainers.runc.checkpoint.enabled";

/// What crun loads to checkpoint.
const LIBRARY: &str = "libcriu.so.2";

/// Where crun keeps its state, if nobody says where.
const CRUN_STATE: &str = "/run/crun";

pub(super) fn checks(ground: &Ground) -> Vec<Check> {
    if ground.path().is_none() {
        return vec![Check::unknown("runc", "containerd's PATH is not known")];
    }
    let runc = runc(ground);
    match (runc, crun(ground)) {
        (Some(runc), crun) => [runc].into_iter().chain(crun).collect(),
        // The default is runc, but each client can name the other.
        (None, Some(crun)) => vec![
            crun,
            Check::warning(
                "runc",
                "there is no runc in containerd's PATH: containers need the option that names crun",
            )
            .remedy(install("runc")),
        ],
        (None, None) => ground
            .missing("runc", "nor crun, and so no container runs")
            .into_iter()
            .collect(),
    }
}

fn runc(ground: &Ground) -> Option<Check> {
    const NAME: &str = "runc";
    let program = ground.program(NAME)?;
    let shown = program.display();
    let said = match program::check(&program, ground.path(), &["--version"]) {
        Ok(said) => said,
        Err(error) => {
            return Some(
                Check::failure(NAME, remap_engine::phase::report(&error)).remedy(install(NAME)),
            );
        }
    };
    let Some(version) = version(&said, "runc version ") else {
        return Some(Check::warning(
            NAME,
            format!("{shown} is no runc: {}", said.trim()),
        ));
    };
    let text = format!("{}.{}", version.0, version.1);
    if version < RUNC {
        let what = format!("{shown} is {text}, and 1.1 is needed");
        return Some(Check::failure(NAME, what).remedy(install(NAME)));
    }
    let features = program::check(&program, ground.path(), &["features"]).ok();
    let features: Option<Value> = features.and_then(|text| serde_json::from_str(&text).ok());
    let enabled = features
        .as_ref()
        .and_then(|all| all.get("annotations")?.get(ENABLED)?.as_str());
    Some(match enabled {
        Some("true") => Check::ok(NAME, format!("{shown}, version {text}, with CRIU")),
        Some(_) => Check::failure(
            NAME,
            format!("{shown}, version {text}, was built without CRIU (runc features: {ENABLED})"),
        )
        .remedy(install(NAME)),
        // Said from 1.1 on; one that says nothing of it is probably an old one that can.
        None => Check::warning(
            NAME,
            format!("{shown}, version {text}, does not say whether it can checkpoint"),
        ),
    })
}

fn crun(ground: &Ground) -> Option<Check> {
    const NAME: &str = "crun";
    let program = ground.program(NAME)?;
    let shown = program.display();
    // It makes its state directory to say its version.
    let was_there = Path::new(CRUN_STATE).exists();
    let said = program::check(&program, ground.path(), &["--version"]);
    if !was_there {
        // Not empty if a container came meanwhile.
        let _ = std::fs::remove_dir(CRUN_STATE);
    }
    let said = said.ok()?;
    let version = said.lines().next().unwrap_or_default().to_owned();
    if !said.split_whitespace().any(|word| word == "+CRIU") {
        let what =
            format!("{shown}, {version}, was built without CRIU: its containers cannot be saved");
        return Some(Check::warning(NAME, what));
    }
    if !has_library() {
        let what = format!("{shown}, {version}, lacks {LIBRARY}: its containers cannot be saved");
        return Some(Check::warning(NAME, what).remedy(install("libcriu2")));
    }
    Some(Check::ok(NAME, format!("{shown}, {version}, with CRIU")))
}

/// As the dynamic loader finds it, by its cache (ldconfig(8)).
fn has_library() -> bool {
    let places = ["/sbin/ldconfig", "/usr/sbin/ldconfig"];
    places.iter().any(|ldconfig| {
        let said = program::check(Path::new(ldconfig), None, &["-p"]);
        said.is_ok_and(|said| said.contains(LIBRARY))
    })
}

fn version(said: &str, prefix: &str) -> Option<(u32, u32)> {
    let text = said.lines().next()?.strip_prefix(prefix)?;
    let mut numbers = text
        .split(|char: char| !char.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_runc_says_them() {
        assert_eq!(
            version("runc version 1.1.15+ds1\ncommit", "runc version "),
            Some((1, 1))
        );
        assert_eq!(version("crun version 1.21", "runc version "), None);
        assert_eq!(version("runc version x", "runc version "), None);
    }
}
