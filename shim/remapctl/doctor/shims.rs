//! Which shim containerd takes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::Check;
use super::ground::Ground;
use crate::host::lookup::{self, OWN, STOCK};
use crate::host::shim::{self, Shim};

/// What stands for both that containerd looks up, and for handlers that name a path.
pub(super) fn checks(ground: &Ground) -> Vec<Check> {
    let Some(containerd) = &ground.containerd else {
        return vec![];
    };
    let drop_in = lookup::shims(containerd, STOCK).into_iter().next();
    let beside = lookup::shims(containerd, OWN).into_iter().next();
    let handlers = ground
        .config
        .as_ref()
        .map(crate::host::config::Config::handlers);
    let by_path: Vec<_> = handlers
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, handler)| Some((name, handler.shim?)))
        .collect();

    let mut checks = vec![found(ground, "shim", STOCK, drop_in.as_deref())];
    checks.push(found(ground, "own-shim", OWN, beside.as_deref()));
    for (handler, path) in &by_path {
        let what = format!("the handler {handler} has {}", path.display());
        checks.push(match shim::ask(path) {
            Err(error) => Check::failure(
                "handler-shim",
                format!("{what}: {}", remap_engine::phase::report(&error)),
            ),
            Ok(kind) => of_kind(ground, "handler-shim", path, &kind, what),
        });
    }
    let is_ours = |path: &Path| matches!(shim::ask(path), Ok(Shim::Ours(_)));
    let paths = [&drop_in, &beside]
        .into_iter()
        .flatten()
        .map(|path| path.as_path());
    let mut paths = paths.chain(by_path.iter().map(|(_, path)| path.as_path()));
    checks.push(if paths.any(is_ours) {
        Check::ok("installed", "containerd finds this project's shim")
    } else {
        let what = "containerd does not find this project's shim, so that no container has it";
        Check::warning("installed", what).remedy("remapctl install --yes")
    });
    checks
}

/// The shim `name`, which containerd takes from `path`.
fn found(ground: &Ground, check: &'static str, name: &str, path: Option<&Path>) -> Check {
    let Some(path) = path else {
        let what = format!("containerd finds no {name}");
        return if name == STOCK {
            Check::warning(check, what + ": only runtimes of other names work")
        } else {
            Check::ok(
                check,
                what + ", which is for the runtime io.containerd.remap.v2 only",
            )
        };
    };
    match shim::ask(path) {
        Err(error) => Check::failure(
            check,
            format!(
                "containerd takes {}: {}",
                path.display(),
                remap_engine::phase::report(&error)
            ),
        ),
        Ok(kind) => {
            let what = format!("for {name} containerd takes {}", path.display());
            of_kind(ground, check, path, &kind, what)
        }
    }
}

fn of_kind(ground: &Ground, check: &'static str, path: &Path, kind: &Shim, what: String) -> Check {
    const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");
    match kind {
        Shim::Other => Check::ok(check, format!("{what}, another project's")),
        Shim::Ours(version) if version != OWN_VERSION => Check::warning(
            check,
            format!("{what}, this project's {version}, but this remapctl is {OWN_VERSION}"),
        )
        .remedy("remapctl install --yes"),
        Shim::Ours(_) if is_newer(ground, path) => Check::warning(
            check,
            format!("{what}, this project's, which came after containerd began: until it is restarted it may take the one that it took before"),
        )
        .remedy(ground.restart()),
        Shim::Ours(version) => Check::ok(check, format!("{what}, this project's {version}")),
    }
}

/// Whether the name itself was made after containerd began, which remembers paths. (What a link leads
/// to may change meanwhile.)
fn is_newer(ground: &Ground, path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).ok().and_then(|file| {
        let seconds = u64::try_from(file.ctime()).ok()?;
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    });
    let started = ground
        .containerd
        .as_ref()
        .map(|containerd| containerd.started);
    changed
        .zip(started)
        .is_some_and(|(changed, started)| changed > started)
}
