//! A cgroup of its own for a container that is restored beside another that has its cgroup: mostly
//! the one that it was saved from, as its specification comes from there.
//!
//! In one cgroup each would be frozen, limited and killed with the other. runc before 1.2 puts it
//! there with a warning, later ones refuse.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    bundle::{Bundle, BundleError},
    cgroup::{MOUNT, roots},
};

/// Points `linux.cgroupsPath` of the bundle to a cgroup named `id`, beside the one that it names, if
/// that is named otherwise and has processes. So with a unit of systemd's (`slice:prefix:name`, runc's
/// docs/systemd.md).
///
/// # Errors
/// The bundle cannot be read or written; it is as it was.
pub(crate) fn ensure(bundle: &Bundle, id: &str) -> Result<(), BundleError> {
    let mut config = bundle.config()?;
    let Some(path) = config.pointer_mut("/linux/cgroupsPath") else {
        return Ok(());
    };
    let Some(own) = own(path, id, |path| is_populated(Path::new(MOUNT), path)) else {
        return Ok(());
    };
    tracing::info!(id, %path, own, "the cgroup is another container's");
    *path = own.into();
    bundle.write_config(&config)
}

/// The path to be set instead, if any.
fn own(path: &Value, id: &str, is_populated: impl FnOnce(&Path) -> bool) -> Option<String> {
    let text = path.as_str()?;
    if text.contains(':') {
        let (unit, name) = text.rsplit_once(':')?;
        return (name != id && is_populated(&scope(text)?)).then(|| format!("{unit}:{id}"));
    }
    let path = Path::new(text);
    if path.file_name()? == id || !is_populated(path.strip_prefix("/").unwrap_or(path)) {
        return None;
    }
    path.with_file_name(id).to_str().map(str::to_owned)
}

/// The path, in the hierarchy of cgroup v2, of the cgroup that the runtime makes for a container with this
/// specification. CRIU moves restored tasks to where it found them, unless it is told another cgroup,
/// which runc does from 1.2 on only (`criuApplyCgroups`: not on v2 before).
///
/// `None` on cgroup v1, where CRIU is always told, and where the specification leaves it to runc.
pub(crate) fn unified(config: &Value, by_systemd: bool) -> Option<String> {
    let is_unified = Path::new(MOUNT).join("cgroup.controllers").exists();
    is_unified.then(|| path(config, by_systemd)).flatten()
}

fn path(config: &Value, by_systemd: bool) -> Option<String> {
    let text = config.pointer("/linux/cgroupsPath")?.as_str()?;
    let path = if by_systemd {
        format!("/{}", scope(text)?.to_str()?)
    } else {
        text.to_owned()
    };
    (path.starts_with('/') && path.len() > 1).then_some(path)
}

/// Where systemd has the scope `slice:prefix:name`: a slice `a-b.slice` is in `a.slice` (systemd.slice(5)),
/// and without one the scope is in `system.slice`.
fn scope(text: &str) -> Option<PathBuf> {
    let mut parts = text.split(':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || name.ends_with(".slice") {
        return None;
    }
    let slice = if slice.is_empty() {
        "system.slice"
    } else {
        slice
    };
    let slice = slice.strip_suffix(".slice")?;
    let ends = slice.match_indices('-').map(|(end, _)| end);
    // `-.slice` is the root.
    let slices = ends.chain([slice.len()]).filter_map(|end| slice.get(..end));
    let slices = slices.filter(|slice| !slice.is_empty() && *slice != "-");
    let mut path: PathBuf = slices.map(|slice| format!("{slice}.slice")).collect();
    path.push(format!("{prefix}-{name}.scope"));
    Some(path)
}

/// Whether a cgroup, or one below it, has processes in any hierarchy. What cannot be read has none.
fn is_populated(mount: &Path, path: &Path) -> bool {
    let roots = roots(mount).unwrap_or_default();
    roots.iter().any(|root| has_processes(&root.join(path)))
}

fn has_processes(directory: &Path) -> bool {
    let is_there = |bytes: Vec<u8>| !bytes.is_empty();
    let below = || -> io::Result<bool> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && has_processes(&entry.path()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    std::fs::read(directory.join("cgroup.procs")).is_ok_and(is_there) || below().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cgroup_of_others_is_left() {
        let own = |path: &str, populated| own(&path.into(), "c2", |_| populated);
        assert_eq!(own("/default/c1", true).as_deref(), Some("/default/c2"));
        assert_eq!(own("default/c1", true).as_deref(), Some("default/c2"));
        assert_eq!(own("/default/c1", false), None);
        assert_eq!(own("/default/c2", true), None);
        let unit = own("machine.slice:ctr:c1", true);
        assert_eq!(unit.as_deref(), Some("machine.slice:ctr:c2"));
        assert_eq!(own("machine.slice:ctr:c1", false), None);
        assert_eq!(own("machine.slice:ctr:c2", true), None);
        assert_eq!(own("a:b", true), None);
        assert_eq!(own("", true), None);
        assert_eq!(super::own(&Value::Null, "c2", |_| true), None);
    }

    #[test]
    fn scopes_are_where_systemd_has_them() {
        let is = |text: &str, path: &str| assert_eq!(scope(text), Some(path.into()), "{text}");
        is("machine.slice:ctr:c1", "machine.slice/ctr-c1.scope");
        is(":nerdctl:c1", "system.slice/nerdctl-c1.scope");
        is(
            "kubepods-pod1.slice:cri:c1",
            "kubepods.slice/kubepods-pod1.slice/cri-c1.scope",
        );
        is("-.slice:ctr:c1", "ctr-c1.scope");
        for text in ["", "a:b", "a.slice:b:c:d", "a:b:c", "a.slice:b:c.slice"] {
            assert_eq!(scope(text), None, "{text}");
        }
    }

    #[test]
    fn the_runtime_s_cgroup_is_known_if_the_specification_says_it() {
        let path = |text: &str, by_systemd| {
            let config = serde_json::json!({"linux": {"cgroupsPath": text}});
            path(&config, by_systemd)
        };
        assert_eq!(path("/default/c1", false).as_deref(), Some("/default/c1"));
        let unit = "machine.slice:ctr:c1";
        let scope = "/machine.slice/ctr-c1.scope";
        assert_eq!(path(unit, true).as_deref(), Some(scope));
        for (text, by_systemd) in [("default/c1", false), ("", false), ("/", false), ("", true)] {
            assert_eq!(path(text, by_systemd), None, "{text:?}");
        }
        assert_eq!(super::path(&serde_json::json!({}), false), None);
    }

    #[test]
    fn processes_below_count() {
        let mount = tempfile::tempdir().unwrap();
        let group = mount.path().join("memory/default/c1");
        std::fs::create_dir_all(group.join("below")).unwrap();
        for place in [
            mount.path().join("memory"),
            group.clone(),
            group.join("below"),
        ] {
            std::fs::write(place.join("cgroup.procs"), "").unwrap();
        }
        let is_populated = || is_populated(mount.path(), Path::new("default/c1"));
        assert!(!is_populated());
        std::fs::write(group.join("below/cgroup.procs"), "7\n").unwrap();
        assert!(is_populated());
    }
}
