//! Where containerd and its children find programs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::containerd::Containerd;

/// The stock shim's name, which is what `io.containerd.runc.v2` stands for.
pub(crate) const STOCK: &str = "containerd-shim-runc-v2";

/// This project's shim's own name.
pub(crate) const OWN: &str = "containerd-shim-remap-v2";

/// The directories of a `PATH`. Go's `exec.LookPath` takes no relative ones.
pub(crate) fn directories(path: &OsStr) -> Vec<PathBuf> {
    let all = path.as_bytes().split(|&byte| byte == b':');
    let all = all.map(|dir| PathBuf::from(OsStr::from_bytes(dir)));
    all.filter(|dir| dir.is_absolute()).collect()
}

/// Each program `name` in the `PATH`, the one that is taken first.
pub(crate) fn all(path: &OsStr, name: &str) -> Vec<PathBuf> {
    let places = directories(path).into_iter().map(|dir| dir.join(name));
    places.filter(|place| is_program(place)).collect()
}

/// The program `name` that is taken.
pub(crate) fn first(path: &OsStr, name: &str) -> Option<PathBuf> {
    all(path, name).into_iter().next()
}

/// Each shim `name` that `containerd` could take, the one that it takes first: in its working
/// directory, in its `PATH`, beside itself (`resolveRuntimePath` in its `runtime/v2`). It remembers
/// the path until it ends.
pub(crate) fn shims(containerd: &Containerd, name: &str) -> Vec<PathBuf> {
    let path = containerd.path.clone().unwrap_or_default();
    let here = containerd.directory.join(name);
    let beside = containerd.program.with_file_name(name);
    let mut found: Vec<PathBuf> = Vec::new();
    let places = [here].into_iter().chain(all(&path, name)).chain([beside]);
    for place in places.filter(|place| is_program(place)) {
        if !found.contains(&place) {
            found.push(place);
        }
    }
    found
}

/// Whether a path leads to a program.
pub(crate) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Whether both are the same file or directory, by whatever names.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    id(one).is_some() && id(one) == id(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::UNIX_EPOCH;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_is_taken_is_what_containerd_takes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["two/shim", "three/shim", "beside/shim"] {
            program(&at(name));
        }
        fs::create_dir_all(at("one/shim")).unwrap();
        fs::create_dir(at("zero")).unwrap();
        symlink("nowhere", at("zero/shim")).unwrap();
        let path = ["zero", "one", "two", "three", "none"].map(|dir| at(dir).display().to_string());
        let mut containerd = Containerd {
            pid: 1,
            program: at("beside/containerd"),
            replaced: false,
            directory: dir.path().into(),
            path: Some(format!("rel::{}", path.join(":")).into()),
            temporary: "/tmp".into(),
            config: None,
            started: UNIX_EPOCH,
        };
        let found = [at("two/shim"), at("three/shim"), at("beside/shim")];
        assert_eq!(shims(&containerd, "shim"), found);
        program(&at("shim"));
        assert_eq!(shims(&containerd, "shim").first(), Some(&at("shim")));
        fs::set_permissions(at("shim"), PermissionsExt::from_mode(0o644)).unwrap();
        containerd.path = None;
        assert_eq!(shims(&containerd, "shim"), [at("beside/shim")]);
    }
}
