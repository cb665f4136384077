//! containerd: its version, and how it is configured.

use super::Check;
use super::ground::Ground;
use crate::host::config::Config;
use crate::host::program;

/// The first version on which this project is tried.
const FIRST: Version = Version(1, 7, 0);

/// The first in which Kubernetes' interface has no restore any more (containerd#13871).
const WITHOUT_RESTORE: Version = Version(2, 4, 0);

/// A version of containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32, u32);

pub(super) fn checks(ground: &Ground) -> Vec<Check> {
    let Some(containerd) = &ground.containerd else {
        return vec![];
    };
    let mut checks = Vec::new();
    let path = containerd.path.as_ref();
    let said = program::check(&containerd.program, path, &["--version"]);
    let version = said.as_deref().ok().and_then(Version::of);
    checks.push(match (&said, version) {
        (Err(error), _) => Check::unknown("version", remap_engine::phase::report(error)),
        (Ok(said), None) => Check::warning("version", format!("not understood: {}", said.trim())),
        (_, Some(version)) if version < FIRST => {
            let what = format!("containerd {version}; nothing before {FIRST} was tried");
            Check::warning("version", what)
        }
        (_, Some(version)) => Check::ok("version", format!("containerd {version}")),
    });
    if let Some(config) = &ground.config {
        checks.push(configuration(config));
        checks.push(kubernetes(config, version));
    }
    checks
}

fn configuration(config: &Config) -> Check {
    let (state, root) = (config.state(), config.root());
    let what = format!("state in {}, images in {}", state.display(), root.display());
    if state.as_os_str() == "/run/containerd" {
        return Check::ok("configuration", what);
    }
    let what = format!(
        "{what}; other commands of remapctl need --state {}",
        state.display()
    );
    Check::warning("configuration", what)
}

fn kubernetes(config: &Config, version: Option<Version>) -> Check {
    const NAME: &str = "kubernetes";
    if !config.has_cri() {
        return Check::ok(NAME, "containerd's CRI is switched off");
    }
    let names: Vec<String> = config.handlers().into_keys().collect();
    let handlers = format!("runtime handlers {}", names.join(", "));
    let version = version.unwrap_or(FIRST);
    if version < Version(2, 0, 0) {
        return Check::ok(
            NAME,
            format!("{handlers}; no checkpoints by CRI before 2.0"),
        );
    }
    if version < Version(2, 1, 0) || version >= WITHOUT_RESTORE {
        return Check::ok(
            NAME,
            format!("{handlers}; checkpoints by CRI, and no restores"),
        );
    }
    if config.restores() == Some(false) {
        let what = format!(
            "{handlers}; checkpoints by CRI, but restores are switched off: \
             enable_experimental_restore_via_create = true in \
             [plugins.'io.containerd.cri.v1.runtime'] switches them on"
        );
        return Check::warning(NAME, what);
    }
    Check::ok(NAME, format!("{handlers}; checkpoints and restores by CRI"))
}

impl Version {
    /// From `containerd github.com/containerd/containerd/v2 2.1.9+unknown …`.
    fn of(said: &str) -> Option<Self> {
        let text = said.split_whitespace().nth(2)?;
        let text = text.trim_start_matches('v');
        let mut numbers = text
            .split(|char: char| !char.is_ascii_digit())
            .map_while(|number| number.parse().ok());
        let (major, minor) = (numbers.next()?, numbers.next()?);
        Some(Self(major, minor, numbers.next().unwrap_or_default()))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_containerd_says_them() {
        for (said, expected) in [
            (
                "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6",
                Version(1, 7, 24),
            ),
            (
                "containerd github.com/containerd/containerd/v2 2.1.9+unknown ",
                Version(2, 1, 9),
            ),
            (
                "containerd github.com/containerd/containerd/v2 v2.4.0-beta.0 abc",
                Version(2, 4, 0),
            ),
        ] {
            assert_eq!(Version::of(said), Some(expected), "{said}");
        }
        assert_eq!(Version::of("containerd"), None);
    }
}
