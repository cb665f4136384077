//! The policy of a container: what its annotations say about checkpoints of it.
//!
//! Annotations are the one thing that every client can set. They are read anew for every
//! checkpoint; what cannot be read is a [`Fault`], which is an error at Create and forbids a
//! checkpoint.

mod fault;
mod mount;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use self::fault::FaultKind;
use crate::bundle::{Bundle, BundleError};
use crate::criu::config::{USER_ANNOTATION, parse_size};
use crate::intent::LOSE_EXEC_SESSIONS;
use crate::manifest::DumpOptions;
use crate::time_limit;
use crate::together::MOVES_WITH;

pub use self::fault::{Fault, PolicyError};
pub use self::mount::{MOUNTS, MountPolicy, Override};

/// What the names of our annotations begin with.
pub const PREFIX: &str = "io.remap.";

/// How many bytes of mounts a checkpoint may carry.
pub const CARRY_LIMIT: &str = "io.remap.carry-limit-bytes";

/// CRIU's limit of ghost files, in bytes.
pub const GHOST_LIMIT: &str = "io.remap.ghost-limit-bytes";

/// A checkpoint ends the container.
pub const EXIT: &str = "io.remap.exit";

/// CRIU's `tcp-established`.
pub const TCP_ESTABLISHED: &str = "io.remap.tcp-established";

/// CRIU's `tcp-close`.
pub const TCP_CLOSE: &str = "io.remap.tcp-close";

/// CRIU's `ext-unix-sk`.
pub const EXT_UNIX_SK: &str = "io.remap.ext-unix-sk";

/// CRIU's `shell-job`.
pub const SHELL_JOB: &str = "io.remap.shell-job";

/// CRIU's `file-locks`.
pub const FILE_LOCKS: &str = "io.remap.file-locks";

/// The OCI runtime's program, as `binary_name` of `containerd.runc.v1.Options`; the shim heeds it.
pub const RUNTIME_BINARY: &str = "io.remap.runtime-binary";

/// The OCI runtime's state directory, as `root` there.
pub const RUNTIME_ROOT: &str = "io.remap.runtime-root";

/// Control groups through systemd, as `systemd_cgroup` there.
pub const SYSTEMD_CGROUP: &str = "io.remap.systemd-cgroup";

/// All annotations that there are, but for [`USER_ANNOTATION`], which is not for users.
pub const ANNOTATIONS: [&str; 17] = [
    MOVES_WITH,
    MOUNTS,
    CARRY_LIMIT,
    GHOST_LIMIT,
    EXIT,
    TCP_ESTABLISHED,
    TCP_CLOSE,
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    LOSE_EXEC_SESSIONS,
    RUNTIME_BINARY,
    RUNTIME_ROOT,
    SYSTEMD_CGROUP,
    time_limit::FREEZE.annotation,
    time_limit::DUMP.annotation,
    time_limit::RESTORE.annotation,
];

/// What the annotations of a container say. Without any it is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Of single mounts.
    pub overrides: Vec<Override>,
    /// How many bytes of mounts a checkpoint may carry.
    pub carry_limit_bytes: Option<u64>,
    /// The largest ghost file, in bytes.
    pub ghost_limit_bytes: Option<u64>,
    /// A checkpoint ends the container.
    pub exit: bool,
    /// What CRIU is to handle.
    pub options: DumpOptions,
    /// Processes of exec sessions may be lost.
    pub lose_exec_sessions: bool,
    /// What cannot be used.
    pub faults: Vec<Fault>,
}

impl Policy {
    /// Reads the annotations of a container.
    #[must_use]
    pub fn of(annotations: &HashMap<String, String>) -> Self {
        let mut faults = unknown(annotations);
        let value = |name: &str| annotations.get(name).map(String::as_str);
        let overrides = value(MOUNTS).map(|value| mount::parse(value, &mut faults));
        let mut size = |name| match value(name).map(|value| (value, parse_size(value))) {
            Some((value, None)) => {
                faults.push(Fault::new(name, value, FaultKind::NoSize));
                None
            }
            size => size.and_then(|(_, size)| size),
        };
        let carry_limit_bytes = size(CARRY_LIMIT);
        let ghost_limit_bytes = size(GHOST_LIMIT);
        let mut is_on = |name| match value(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some(value) => {
                faults.push(Fault::new(name, value, FaultKind::NoBoolean));
                false
            }
        };
        Self {
            overrides: overrides.unwrap_or_default(),
            carry_limit_bytes,
            ghost_limit_bytes,
            exit: is_on(EXIT),
            options: DumpOptions {
                tcp_established: is_on(TCP_ESTABLISHED),
                tcp_close: is_on(TCP_CLOSE),
                ext_unix_sk: is_on(EXT_UNIX_SK),
                shell_job: is_on(SHELL_JOB),
                file_locks: is_on(FILE_LOCKS),
                ..DumpOptions::default()
            },
            lose_exec_sessions: is_on(LOSE_EXEC_SESSIONS),
            faults,
        }
    }

    /// Reads those of a bundle.
    ///
    /// # Errors
    /// The bundle cannot be read.
    pub fn load(bundle: &Path) -> Result<Self, BundleError> {
        Ok(Self::of(&Bundle::load(bundle)?.annotations))
    }

    /// Whether all annotations can be used.
    ///
    /// # Errors
    /// What cannot.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(PolicyError(self.faults.clone()))
        }
    }
}

/// Annotations with our prefix that there are not, in the order of their names.
fn unknown(annotations: &HashMap<String, String>) -> Vec<Fault> {
    let ours = annotations.iter().filter(|(name, _)| {
        let name = name.as_str();
        name.starts_with(PREFIX) && name != USER_ANNOTATION && !ANNOTATIONS.contains(&name)
    });
    let mut ours: Vec<(&String, &String)> = ours.collect();
    ours.sort();
    let fault = |(name, value): (&String, &String)| Fault::new(name, value, FaultKind::Unknown);
    ours.into_iter().map(fault).collect()
}
