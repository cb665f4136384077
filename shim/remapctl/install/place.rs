//! Where the shim goes, so that containerd finds it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::change::Change;
use crate::host::containerd::Containerd;
use crate::host::lookup::{self, OWN, STOCK};
use crate::host::shim::{self, Shim};

/// Where the shim itself is, or is copied to.
#[derive(Debug)]
pub(super) struct Home {
    /// Its path afterwards.
    pub(super) shim: PathBuf,
    /// How it gets there.
    pub(super) change: Option<Change>,
}

/// The shim that goes with this program, or `named`.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn source(named: Option<&Path>) -> Result<PathBuf, String> {
    let own = std::env::current_exe()
        .map_err(|error| format!("cannot tell where this program is: {error}"))?;
    let path = named.map_or_else(|| own.with_file_name(OWN), Path::to_owned);
    let path = path.canonicalize().map_err(|error| {
        format!(
            "there is no shim at {} ({error}); name it with --shim",
            path.display()
        )
    })?;
    match shim::ask(&path) {
        Ok(Shim::Ours(version)) if version == env!("CARGO_PKG_VERSION") => Ok(path),
        Ok(Shim::Ours(version)) => Err(format!(
            "{} is version {version}, but this remapctl is {}; use the two of one build",
            path.display(),
            env!("CARGO_PKG_VERSION")
        )),
        Ok(Shim::Other) => Err(format!("{} is not this project's shim", path.display())),
        Err(error) => Err(remap_engine::phase::report(&error)),
    }
}

/// It stays where it is if containerd's `PATH` has that directory, as after its package was installed;
/// else it is copied to `dir`, as a build may go.
pub(super) fn home(containerd: &Containerd, source: PathBuf, dir: &Path) -> Home {
    let directories = lookup::directories(&containerd.path.clone().unwrap_or_default());
    let at = source.parent().unwrap_or(Path::new("/"));
    let is_named = source.file_name().is_some_and(|name| name == OWN);
    if let Some(known) = directories.iter().find(|known| lookup::is_same(known, at))
        && is_named
    {
        return Home {
            shim: known.join(OWN),
            change: None,
        };
    }
    let path = dir.join(OWN);
    if lookup::is_same(&path, &source) {
        return Home {
            shim: path,
            change: None,
        };
    }
    Home {
        shim: path.clone(),
        change: Some(Change::Copy { from: source, path }),
    }
}

/// Why containerd will not find the shim under its own name in `home`.
pub(super) fn unseen(containerd: &Containerd, home: &Home) -> Option<String> {
    let path = containerd.path.clone().unwrap_or_default();
    let dir = home.shim.parent().unwrap_or(Path::new("/"));
    let mut directories = lookup::directories(&path).into_iter();
    if !directories.any(|known| lookup::is_same(&known, dir)) {
        return Some(format!(
            "{} is not in containerd's PATH ({}); name one that is with --dir",
            dir.display(),
            path.to_string_lossy()
        ));
    }
    let first = lookup::shims(containerd, OWN).into_iter().next()?;
    let is_before = || {
        let all = lookup::directories(&path);
        let rank = |path: &Path| {
            all.iter()
                .position(|dir| path.parent().is_some_and(|at| lookup::is_same(dir, at)))
        };
        rank(&first) < rank(&home.shim)
    };
    (!lookup::is_same(&first, &home.shim) && first != home.shim && is_before()).then(|| {
        format!(
            "containerd finds {} before {}: remove it",
            first.display(),
            home.shim.display()
        )
    })
}

/// The link under the stock shim's name: in the first directory of containerd's `PATH` that is
/// there, is for what the administrator adds, and comes before that of the stock shim. Nothing that a
/// package has installed is touched, so that an upgrade of containerd does not undo it.
///
/// # Errors
/// There is no such directory.
pub(super) fn link(containerd: &Containerd, home: &Home) -> Result<Change, String> {
    let path = containerd.path.clone().unwrap_or_default();
    let is_ours = |place: &Path| {
        place.is_symlink() && lookup::is_same(place, &home.shim)
            || matches!(shim::ask(place), Ok(Shim::Ours(_)))
    };
    let found = lookup::shims(containerd, STOCK);
    let stock = found.iter().find(|place| !is_ours(place));
    if found
        .first()
        .is_some_and(|first| first.parent() == Some(&containerd.directory))
    {
        return Err(format!(
            "containerd runs in {}, where it finds {STOCK} before all others: start it in /",
            containerd.directory.display()
        ));
    }
    let before = lookup::directories(&path);
    let before = before.iter().take_while(|dir| {
        !stock
            .and_then(|stock| stock.parent())
            .is_some_and(|at| lookup::is_same(dir, at))
    });
    let mut local = before.filter(|dir| is_local(dir) && is_safe(dir));
    if let Some(dir) = local.next() {
        return Ok(Change::Link {
            to: home.shim.clone(),
            path: dir.join(STOCK),
        });
    }
    Err(format!(
        "in containerd's PATH ({}) no directory below /usr/local or /opt comes before the stock shim \
         ({}): put one there (`systemctl edit containerd`: [Service] and \
         Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin), restart it, \
         and try again; or use --as side-by-side or --as cri",
        path.to_string_lossy(),
        stock.map_or("there is none".into(), |stock| stock.display().to_string())
    ))
}

/// The file hierarchy leaves these to the administrator (hier(7)).
fn is_local(dir: &Path) -> bool {
    dir.starts_with("/usr/local") || dir.starts_with("/opt")
}

/// Nobody else may put a program there.
fn is_safe(dir: &Path) -> bool {
    fs::metadata(dir)
        .is_ok_and(|dir| dir.is_dir() && dir.uid() == 0 && dir.permissions().mode() & 0o002 == 0)
}
