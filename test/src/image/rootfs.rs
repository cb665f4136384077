//! What goes into an image's root file system.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::WORKLOAD_DIR;
use super::layer::Layer;

/// Parts of the standard library that no workload imports and that cost space:
/// tests, documents, graphical programs, and what needs OpenSSL, databases or a
/// terminal. `hashlib` does without OpenSSL.
const LEFT_OUT: &[&str] = &[
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tkinter",
    "turtledemo",
];
const LEFT_OUT_MODULES: &[&str] = &[
    "_codecs_", "_curses", "_dbm", "_gdbm", "_hashlib", "_sqlite3", "_ssl", "_test", "_tkinter",
    "_xxtest", "readline", "xx",
];

/// The directories and account files that every image has, merged-usr as in
/// Debian.
pub(super) fn add_skeleton(layer: &mut Layer) {
    for path in [
        "dev",
        "etc",
        "proc",
        "run",
        "sys",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/lib64",
        "usr/sbin",
        "var",
        "var/log",
    ] {
        layer.directory(path, 0o755);
    }
    layer.directory("root", 0o700);
    for path in ["dev/shm", "tmp", "var/tmp"] {
        layer.directory(path, 0o1777);
    }
    // As in Debian: a mount at /var/run/x is one at /run/x.
    layer.symlink("var/run", "/run");
    for path in ["bin", "lib", "lib64", "sbin"] {
        layer.symlink(path, Path::new("usr").join(path));
    }
    layer.contents(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    layer.contents("etc/group", "root:x:0:\nnogroup:x:65534:\n");
}

/// Debian's static busybox, with a symlink for each of its applets.
pub(super) fn add_busybox(layer: &mut Layer, tree: &Path) -> Result<()> {
    let busybox = tree.join("usr/bin/busybox");
    // It is static, so it runs from here as well as inside of the tree.
    let applets = output(Command::new(&busybox).arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        layer.symlink(Path::new("usr/bin").join(applet), "busybox");
    }
    layer.copy("usr/bin/busybox", busybox);
    Ok(())
}

/// The tree's `python3`, its standard library, and all shared libraries that
/// the interpreter and the library's modules need.
pub(super) fn add_python(layer: &mut Layer, tree: &Path) -> Result<()> {
    let link = tree.join("usr/bin/python3");
    // Debian's python3 is a symlink to a name with the version, such as
    // python3.13, which is also the name of the library's directory.
    let version = fs::read_link(&link)
        .with_context(|| format!("read the symlink {} (is python3 there?)", link.display()))?;
    let interpreter = Path::new("usr/bin").join(&version);
    let library = Path::new("usr/lib").join(&version);
    layer.symlink("usr/bin/python3", &version);
    layer.copy(&interpreter, tree.join(&interpreter));

    layer.copy_tree(&library, &tree.join(&library), &|path| {
        wanted(&library, path)
    })?;

    let modules = library.join("lib-dynload");
    let mut programs = vec![interpreter];
    for entry in fs::read_dir(tree.join(&modules))? {
        let module = modules.join(entry?.file_name());
        if wanted(&library, &module) {
            programs.push(module);
        }
    }
    add_libraries(layer, tree, &programs)
}

/// The dynamic loader and all shared libraries that `programs` (of the tree) need.
pub(super) fn add_libraries(layer: &mut Layer, tree: &Path, programs: &[PathBuf]) -> Result<()> {
    for path in shared_libraries(tree, programs)? {
        let source = tree.join(&path);
        layer.directory(path.parent().unwrap_or(&path), 0o755);
        layer.copy(path, source);
    }
    Ok(())
}

/// All that is below `workloads`, except what running a workload there leaves.
pub(super) fn add_workloads(layer: &mut Layer, workloads: &Path) -> Result<()> {
    let target = Path::new(WORKLOAD_DIR.trim_start_matches('/'));
    layer.copy_tree(target, workloads, &|path| {
        path.file_name() != Some(OsStr::new("__pycache__"))
    })
}

/// Whether an image takes the file `path` of the standard library `library`.
fn wanted(library: &Path, path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return false;
    };
    let parent = path.parent();
    if parent == Some(library) {
        // The config directory is for building extensions.
        return !LEFT_OUT.contains(&name) && !name.starts_with("config-");
    }
    if parent == Some(&library.join("lib-dynload")) {
        return !LEFT_OUT_MODULES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    }
    true
}

/// Paths in `tree`, relative to it, of the dynamic loader and of all libraries
/// that `programs` need. ld.so(8) resolves them, inside of the tree.
fn shared_libraries(tree: &Path, programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut ldd = Command::new("chroot");
    ldd.arg(tree).args(["ldd"]);
    ldd.args(programs.iter().map(|path| Path::new("/").join(path)));
    let mut libraries = BTreeSet::new();
    for line in output(&mut ldd)?.lines() {
        // "NAME => PATH (ADDRESS)", "PATH (ADDRESS)" for the loader, a heading
        // "PROGRAM:", or "linux-vdso.so.1 (ADDRESS)", which is not a file.
        let (name, library) = line.split_once("=> ").unwrap_or(("", line));
        let (name, library) = (name.trim(), library.trim());
        if library.starts_with("not found") {
            // Some come along themselves: their program knows where, and loads them first.
            let comes = |path: &PathBuf| path.file_name() == Some(OsStr::new(name));
            ensure!(
                programs.iter().any(comes),
                "ldd in {}: {line}",
                tree.display()
            );
            continue;
        }
        let Some((path, _address)) = library.split_once(" (") else {
            continue;
        };
        let Some(path) = path.strip_prefix('/') else {
            continue;
        };
        // /lib is a symlink to usr/lib in the image as in the tree.
        let merged = if path.starts_with("usr/") {
            PathBuf::from(path)
        } else {
            Path::new("usr").join(path)
        };
        libraries.insert(without_parents(&merged));
    }
    Ok(libraries)
}

/// The path without `..`, which ldd leaves where a program looks beside itself.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The standard output of a command that has to succeed and to print text.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("text from {command:?}"))
}
