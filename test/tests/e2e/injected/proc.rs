//! The processes of a host, seen from outside, quickly: a few live only for milliseconds.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result};
use remap_test::Host;
use rustix::process::{Signal, pidfd_send_signal};

use super::draw::{Blow, Victim};
use crate::workload::ID;

/// A process of a host.
#[derive(Debug)]
pub(super) struct Found {
    /// In the host's numbers.
    pub(super) pid: u32,
    /// Its program and those arguments that are neither options nor paths.
    pub(super) command: String,
    /// Its directory in the host's /proc, which stands for it as a pidfd does
    /// (pidfd_send_signal(2)): another process with its pid has another directory.
    handle: File,
}

impl Found {
    /// Hits it. Says whether it was still there.
    pub(super) fn hit(&self, blow: Blow) -> Result<bool> {
        let signal = match blow {
            Blow::Kill => Signal::KILL,
            Blow::Stop => Signal::STOP,
        };
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno).with_context(|| format!("cannot hit {}", self.command)),
        }
    }
}

/// The processes of `host` that are the victim now, those that a blow stands for: a
/// runc that is stopped where nobody limits the time would stop everything.
pub(super) fn find(host: &Host, victim: Victim, blow: Blow) -> Result<Vec<Found>> {
    let name = match victim {
        Victim::Criu => "criu",
        Victim::Runc => "runc",
        Victim::Script => "remap-hook",
        Victim::Client => "ctr",
        // The kernel keeps 15 bytes of a name.
        Victim::Shim => "containerd-shim",
    };
    let wanted = |arguments: &[String]| {
        let has = |one: &str| arguments.iter().any(|argument| argument == one);
        match (victim, blow) {
            (Victim::Shim, _) => has("-id") && has(ID),
            (Victim::Criu, Blow::Stop) => has("swrk"),
            (Victim::Runc, Blow::Stop) => has("checkpoint") || has("restore"),
            _ => true,
        }
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(host.path("/proc")).context("cannot list the host's processes")? {
        let path = entry?.path();
        let Some(pid) = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok())
        else {
            continue;
        };
        // It may end at any time.
        if let Some((handle, arguments)) = look(path, name)
            && wanted(&arguments)
        {
            let telling = |word: &&String| !word.starts_with('-') && !word.contains('/');
            let words: Vec<&str> = arguments
                .iter()
                .skip(1)
                .filter(telling)
                .map(String::as_str)
                .collect();
            found.push(Found {
                pid,
                command: format!("{name} {}", words.join(" ")).trim_end().to_owned(),
                handle,
            });
        }
    }
    Ok(found)
}

fn look(path: PathBuf, name: &str) -> Option<(File, Vec<String>)> {
    let handle = File::open(&path).ok()?;
    let comm = fs::read_to_string(path.join("comm")).ok()?;
    if comm.trim_end() != name {
        return None;
    }
    let state = fs::read_to_string(path.join("stat")).ok()?;
    let state = state.rsplit(')').next()?.trim_start().chars().next()?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let line = fs::read(path.join("cmdline")).ok()?;
    let arguments = line.split(|byte| *byte == 0);
    let arguments = arguments.map(|one| String::from_utf8_lossy(one).into_owned());
    Some((handle, arguments.collect()))
}
