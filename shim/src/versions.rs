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

use crate::{reaper::Reaper, runc::Program};

/// This shim, the kernel, the runtime and CRIU, by name. What cannot be told is left out.
pub(crate) fn all(runtime: Option<&Program>, criu: Option<String>) -> BTreeMap<String, String> {
    let kernel = nix::sys::utsname::uname().ok();
    let found = [
        (
            "containerd-shim-remap-v2",
            Some(env!("CARGO_PKG_VERSION").to_owned()),
        ),
        (
            "kernel",
            kernel.map(|name| name.release().to_string_lossy().into_owned()),
        ),
        ("runtime", runtime.map(|program| program.version.clone())),
        ("criu", criu),
    ];
    let found = found.into_iter();
    found
        .filter_map(|(name, version)| Some((name.to_owned(), version?)))
        .collect()
}

/// That of the CRIU which runc finds, in `PATH` too. It is asked once in the life of a shim, if it
/// answers.
pub(crate) async fn criu(reaper: &Reaper) -> Option<String> {
    static VERSION: OnceLock<String> = OnceLock::new();
    if let Some(known) = VERSION.get() {
        return Some(known.clone());
    }
    // One that was killed, or is not there yet, is asked again.
    let version = ask(reaper, OsStr::new("criu")).await?;
    Some(VERSION.get_or_init(|| version).clone())
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
