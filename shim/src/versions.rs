//! Versions of what takes part in a checkpoint, for its manifest.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io::{Read, Seek},
    process::{Command, Stdio},
    sync::OnceLock,
};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::{container::Container, reaper::Reaper, runc, shim::Shim};

/// This shim, the kernel, the runtime and CRIU, by name. What cannot be told is left out. Programs
/// are asked once in the life of a shim, if they answer.
pub(crate) async fn all(shim: &Shim, container: &Container) -> BTreeMap<String, String> {
    static VERSIONS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    if let Some(known) = VERSIONS.get() {
        return known.clone();
    }
    let own = (
        "containerd-shim-remap-v2",
        Some(env!("CARGO_PKG_VERSION").to_owned()),
    );
    let kernel = nix::sys::utsname::uname().ok();
    let kernel = kernel.map(|name| name.release().to_string_lossy().into_owned());
    let runtime = ask(&shim.reaper, &runc::binary(&container.options)).await;
    // runc looks for it in PATH, too.
    let criu = ask(&shim.reaper, OsStr::new("criu")).await;
    let found = [
        own,
        ("kernel", kernel),
        ("runtime", runtime),
        ("criu", criu),
    ];
    let count = found.len();
    let versions: BTreeMap<_, _> = found
        .into_iter()
        .filter_map(|(name, version)| Some((name.to_owned(), version?)))
        .collect();
    if versions.len() < count {
        // One that was killed, or is not there yet, is asked again.
        return versions;
    }
    VERSIONS.get_or_init(|| versions).clone()
}

/// The first line that `program --version` prints.
async fn ask(reaper: &Reaper, program: &OsStr) -> Option<String> {
    let mut output = File::from(memfd_create("version", MemfdFlags::CLOEXEC).ok()?);
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(output.try_clone().ok()?)
        .stderr(Stdio::null());
    let child = reaper.spawn(&mut command).ok()?;
    let exit = child.exited().await;
    let mut text = String::new();
    output.rewind().ok()?;
    output.read_to_string(&mut text).ok()?;
    (exit.status == 0).then(|| text.lines().next().unwrap_or_default().to_owned())
}
