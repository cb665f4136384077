//! Container images for the tests, built on the spot from a Debian tree.
//!
//! No registry is needed: a test host's own file system holds everything that
//! goes into them. Each image is one OCI image layout in a tar archive, which
//! `ctr image import` takes as it is and names by its annotation. The archive
//! depends on the input files alone, so a caller may keep it for as long as the
//! tree and the workloads are the same.

mod layer;
mod layout;
mod rootfs;
mod software;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::software::Software;
use layer::Layer;

/// The name under which `ctr image import` stores the image of [`busybox`].
pub const BUSYBOX_IMAGE: &str = "remap.test/busybox:1";

/// The name under which `ctr image import` stores the image of [`pause`].
pub const PAUSE_IMAGE: &str = "remap.test/pause:1";

/// The name under which `ctr image import` stores the image of [`python`].
pub const PYTHON_IMAGE: &str = "remap.test/python:1";

/// The name under which `ctr image import` stores the image of [`fidelity`].
pub const FIDELITY_IMAGE: &str = "remap.test/fidelity:1";

/// The name that the image of [`client_suite`] has in its archive.
const CLIENT_SUITE_IMAGE: &str = "remap.test/client-suite:1";

/// Debian's accounts.
const ACCOUNTS: [&str; 2] = ["etc/passwd", "etc/group"];

/// As the first process of a container the applet does not end at SIGTERM.
const NC: &str = "#!/bin/sh\ntrap 'exit 143' TERM\nbusybox nc \"$@\" &\nwait $!\n";

/// Where [`python`] puts the workload scripts, inside the image.
pub const WORKLOAD_DIR: &str = "/workload";

/// Builds the busybox image: a static shell with all applets, about 2 MiB.
///
/// `tree` is the root of a Debian tree with `busybox-static`. The archive
/// appears at `out` only when it is complete. Returns the manifest's digest.
///
/// # Errors
/// A file of the tree cannot be read, or `out` cannot be written; `out` is then
/// as it was before.
pub fn busybox(tree: &Path, out: &Path) -> Result<String> {
    let mut layer = Layer::default();
    rootfs::add_skeleton(&mut layer);
    rootfs::add_busybox(&mut layer, tree)?;
    layout::write(&layer, BUSYBOX_IMAGE, &[], layout::SHELL, out)
        .with_context(|| format!("write the busybox image {}", out.display()))
}

/// Builds the image of a pod's first container, which keeps the namespaces of the pod: busybox, and
/// it sleeps until it is ended.
///
/// `tree` and the archive at `out` are as for [`busybox`].
///
/// # Errors
/// As for [`busybox`].
pub fn pause(tree: &Path, out: &Path) -> Result<String> {
    let mut layer = Layer::default();
    rootfs::add_skeleton(&mut layer);
    rootfs::add_busybox(&mut layer, tree)?;
    let command = ["/usr/bin/sleep", "infinity"];
    layout::write(&layer, PAUSE_IMAGE, &[], &command, out)
        .with_context(|| format!("write the pause image {}", out.display()))
}

/// Builds the Python image: busybox, the tree's `python3` with its standard
/// library and shared libraries, and what is below `workloads`, except compiled
/// modules, under [`WORKLOAD_DIR`].
///
/// `tree` is the root of a Debian tree with `python3` and `busybox-static`, of
/// the architecture that this process runs on. The caller has to be root: the
/// shared libraries are found by running `ldd` with the tree as its root. The
/// archive appears at `out` only when it is complete. Returns the manifest's
/// digest.
///
/// # Errors
/// A file of the tree or a workload cannot be read, `ldd` does not know a
/// library, or `out` cannot be written; `out` is then as it was before.
pub fn python(tree: &Path, workloads: &Path, out: &Path) -> Result<String> {
    let mut layer = Layer::default();
    rootfs::add_skeleton(&mut layer);
    rootfs::add_busybox(&mut layer, tree)?;
    rootfs::add_python(&mut layer, tree)?;
    rootfs::add_workloads(&mut layer, workloads)?;
    // Compiled modules come with the library. Python shall not write more of
    // them into a container's root file system while a test compares it.
    let env = ["PYTHONDONTWRITEBYTECODE=1"];
    layout::write(&layer, PYTHON_IMAGE, &env, layout::SHELL, out)
        .with_context(|| format!("write the Python image {}", out.display()))
}

/// Builds the image of the fidelity suite's own workloads: busybox, `program`, which must be
/// static, as `/usr/bin/remap-fidelity`, and files of 5000 bytes in `/usr/share/fidelity`.
///
/// The archive appears at `out` only when it is complete. Returns the manifest's digest.
///
/// # Errors
/// A file cannot be read, or `out` cannot be written; `out` is then as it was before.
pub fn fidelity(tree: &Path, program: &Path, out: &Path) -> Result<String> {
    let mut layer = Layer::default();
    rootfs::add_skeleton(&mut layer);
    rootfs::add_busybox(&mut layer, tree)?;
    layer.copy("usr/bin/remap-fidelity", program);
    for directory in ["usr/share", "usr/share/fidelity"] {
        layer.directory(directory, 0o755);
    }
    for name in ["one", "two", "three"] {
        let contents: Vec<u8> = name.bytes().cycle().take(5000).collect();
        layer.contents(format!("usr/share/fidelity/{name}"), contents);
    }
    layout::write(&layer, FIDELITY_IMAGE, &[], layout::SHELL, out)
        .with_context(|| format!("write the fidelity image {}", out.display()))
}

/// Builds what containerd's own client tests want of all their images: busybox, Debian's accounts,
/// its `bash` and its `passwd` with the set-user-ID bit, a `sleep` that goes on after a checkpoint,
/// an `nc` that ends at SIGTERM, and a file and a directory for a second layer to remove
/// (`container_linux_test.go`: `TestUserNamespaces`, `TestBindLowPortNonOpt`, `TestIssue13030`).
///
/// `tree` is the root of a Debian tree. The archive appears at `out` only when it is complete.
/// Returns the manifest's digest.
///
/// # Errors
/// As for [`python`].
pub fn client_suite(tree: &Path, out: &Path) -> Result<String> {
    let mut layer = Layer::default();
    rootfs::add_skeleton(&mut layer);
    rootfs::add_busybox(&mut layer, tree)?;
    let programs = ["usr/bin/bash", "usr/bin/passwd", "usr/bin/sleep"].map(PathBuf::from);
    rootfs::add_libraries(&mut layer, tree, &programs)?;
    let accounts = ACCOUNTS.map(PathBuf::from);
    for path in programs.iter().chain(&accounts) {
        layer.copy(path, tree.join(path));
    }
    layer.script("usr/bin/nc", NC);
    layer.contents("file-to-delete", "");
    layer.directory("dir-to-delete", 0o755);
    layout::write(&layer, CLIENT_SUITE_IMAGE, &[], layout::SHELL, out)
        .with_context(|| format!("write the image of the client tests {}", out.display()))
}

/// Builds the image of `software`: as [`python`], with the programs and libraries of that software
/// besides. Its name is [`Software::image`].
///
/// `tree` is the root of the software's own tree ([`crate::Tree::of_software`]). The
/// archive appears at `out` only when it is complete. Returns the manifest's digest.
///
/// # Errors
/// As for [`python`].
pub fn software(tree: &Path, software: Software, workloads: &Path, out: &Path) -> Result<String> {
    let mut layer = Layer::default();
    rootfs::add_skeleton(&mut layer);
    rootfs::add_busybox(&mut layer, tree)?;
    rootfs::add_python(&mut layer, tree)?;
    software::add(&mut layer, tree, software)?;
    rootfs::add_workloads(&mut layer, workloads)?;
    let env = ["PYTHONDONTWRITEBYTECODE=1"];
    layout::write(&layer, software.image(), &env, layout::SHELL, out)
        .with_context(|| format!("write the image of {software}, {}", out.display()))
}
