//! Typed runc commands and the command lines they become. The flags are those of runc 1.1; see
//! runc-create(8), runc-checkpoint(8) and their kin.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::kind::Kind;
use crate::signal::Signal;

/// One runc sub-command on one container.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// `runc create`
    Create(CreateArgs),
    /// `runc start`
    Start,
    /// `runc exec --detach`
    Exec(ExecArgs),
    /// `runc kill`; `all` signals every process of the container's cgroup.
    Kill {
        /// What to send.
        signal: Signal,
        /// Every process, not only init.
        all: bool,
    },
    /// `runc delete`; `force` kills what still runs.
    Delete {
        /// Kill what still runs.
        force: bool,
    },
    /// `runc pause`
    Pause,
    /// `runc resume`
    Resume,
    /// `runc ps --format json`
    Ps,
    /// `runc state`
    State,
    /// `runc update`, limits read from a file.
    Update {
        /// A JSON file with an OCI `linux.resources` object.
        resources: PathBuf,
    },
    /// `runc checkpoint`
    Checkpoint(CheckpointArgs),
    /// `runc restore --detach`
    Restore(RestoreArgs),
    /// `runc --version`
    Version,
}

/// What `create`, `exec` and `restore` need to start a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreateArgs {
    /// The OCI bundle.
    pub(crate) bundle: PathBuf,
    /// Where runc writes the pid of the new process.
    pub(crate) pid_file: PathBuf,
    /// Where runc sends the terminal's master, if the process has a terminal.
    pub(crate) console_socket: Option<PathBuf>,
    /// MS_MOVE instead of pivot_root(2).
    pub(crate) no_pivot: bool,
    /// Keep the caller's session keyring.
    pub(crate) no_new_keyring: bool,
}

/// Arguments of `runc exec`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecArgs {
    /// A JSON file with an OCI `process` object.
    pub(crate) process: PathBuf,
    /// Where runc writes the pid of the new process.
    pub(crate) pid_file: PathBuf,
    /// Where runc sends the terminal's master, if the process has a terminal.
    pub(crate) console_socket: Option<PathBuf>,
}

/// What CRIU is told to handle, at dump and at restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CriuFlags {
    /// Established TCP connections.
    pub(crate) tcp_established: bool,
    /// Unix sockets whose peer is outside.
    pub(crate) ext_unix_sk: bool,
    /// A terminal whose master is outside.
    pub(crate) shell_job: bool,
    /// File locks.
    pub(crate) file_locks: bool,
    /// Namespaces that are recreated empty (runc knows `network` only).
    pub(crate) empty_namespaces: Vec<String>,
    /// How CRIU treats cgroups; its default is `soft` (criu(8), `--manage-cgroups`).
    pub(crate) cgroups_mode: Option<String>,
}

/// Arguments of `runc checkpoint`.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckpointArgs {
    /// Where the images go.
    pub(crate) image_path: PathBuf,
    /// Where CRIU's log and temporary files go.
    pub(crate) work_path: PathBuf,
    /// Images of an earlier pre-dump, relative to `image_path`.
    pub(crate) parent_path: Option<PathBuf>,
    /// The container goes on after the dump; else CRIU kills it.
    pub(crate) leave_running: bool,
    /// What CRIU is to handle.
    pub(crate) criu: CriuFlags,
    /// The program.
    pub(crate) kind: Kind,
}

/// Arguments of `runc restore`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestoreArgs {
    /// How the process is started.
    pub(crate) create: CreateArgs,
    /// Where the images are.
    pub(crate) image_path: PathBuf,
    /// Where CRIU's log and temporary files go.
    pub(crate) work_path: PathBuf,
    /// What CRIU is to handle.
    pub(crate) criu: CriuFlags,
    /// The program.
    pub(crate) kind: Kind,
}

impl Call {
    /// Where the images are that it writes or reads, if it does.
    pub(crate) fn image_path(&self) -> Option<&Path> {
        match self {
            Self::Checkpoint(args) => Some(&args.image_path),
            Self::Restore(args) => Some(&args.image_path),
            _ => None,
        }
    }

    /// The sub-command's name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Start => "start",
            Self::Exec(_) => "exec",
            Self::Kill { .. } => "kill",
            Self::Delete { .. } => "delete",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Ps => "ps",
            Self::State => "state",
            Self::Update { .. } => "update",
            Self::Checkpoint(_) => "checkpoint",
            Self::Restore(_) => "restore",
            Self::Version => "--version",
        }
    }

    /// Whether CRIU has to be told by its environment where its configuration is.
    pub(super) fn needs_environment(&self) -> bool {
        match self {
            Self::Checkpoint(args) => args.kind.needs_environment(),
            Self::Restore(args) => args.kind.needs_environment(),
            _ => false,
        }
    }

    /// The sub-command's argument vector for container `id`, without global options.
    pub(crate) fn argv(&self, id: &str) -> Vec<OsString> {
        let mut argv = Argv::new(self.name());
        match self {
            Self::Create(args) => argv.process(args),
            Self::Exec(args) => argv
                .path("--process", &args.process)
                .path("--pid-file", &args.pid_file)
                .flag("--detach", true)
                .optional_path("--console-socket", args.console_socket.as_deref()),
            Self::Kill { all, .. } => argv.flag("--all", *all),
            Self::Delete { force } => argv.flag("--force", *force),
            Self::Ps => argv.value("--format", "json"),
            Self::Update { resources } => argv.path("--resources", resources),
            Self::Checkpoint(args) => argv
                .path("--image-path", &args.image_path)
                .path("--work-path", &args.work_path)
                .optional_path("--parent-path", args.parent_path.as_deref())
                .flag("--leave-running", args.leave_running)
                .criu(&args.criu),
            Self::Restore(args) => argv
                .path("--image-path", &args.image_path)
                .path("--work-path", &args.work_path)
                .flag("--detach", true)
                .restored(args)
                .criu(&args.criu),
            Self::Version => return argv.0,
            Self::Start | Self::Pause | Self::Resume | Self::State => &mut argv,
        };
        argv.word(id);
        if let Self::Kill { signal, .. } = self {
            argv.word(&signal.to_string());
        }
        argv.0
    }
}

/// An argument vector under construction.
struct Argv(Vec<OsString>);

impl Argv {
    fn new(name: &str) -> Self {
        Self(vec![name.into()])
    }

    fn word(&mut self, word: &str) -> &mut Self {
        self.0.push(word.into());
        self
    }

    fn flag(&mut self, name: &str, on: bool) -> &mut Self {
        if on {
            self.word(name);
        }
        self
    }

    fn value(&mut self, name: &str, value: &str) -> &mut Self {
        self.word(name).word(value)
    }

    fn path(&mut self, name: &str, path: &Path) -> &mut Self {
        self.word(name);
        self.0.push(path.into());
        self
    }

    fn optional_path(&mut self, name: &str, path: Option<&Path>) -> &mut Self {
        match path {
            Some(path) => self.path(name, path),
            None => self,
        }
    }

    fn process(&mut self, args: &CreateArgs) -> &mut Self {
        self.files(args)
            .flag("--no-pivot", args.no_pivot)
            .flag("--no-new-keyring", args.no_new_keyring)
    }

    fn files(&mut self, args: &CreateArgs) -> &mut Self {
        self.path("--bundle", &args.bundle)
            .path("--pid-file", &args.pid_file)
            .optional_path("--console-socket", args.console_socket.as_deref())
    }

    /// runc's `restore` has no flag for the keyring: a restored process has the one that CRIU gives
    /// it. crun's has none of these three, and makes no subreaper.
    fn restored(&mut self, args: &RestoreArgs) -> &mut Self {
        let is_crun = args.kind.is_crun();
        self.files(&args.create)
            .flag("--no-subreaper", !is_crun)
            .flag("--no-pivot", args.create.no_pivot && !is_crun)
    }

    fn criu(&mut self, flags: &CriuFlags) -> &mut Self {
        self.flag("--tcp-established", flags.tcp_established)
            .flag("--ext-unix-sk", flags.ext_unix_sk)
            .flag("--shell-job", flags.shell_job)
            .flag("--file-locks", flags.file_locks);
        if let Some(mode) = &flags.cgroups_mode {
            self.value("--manage-cgroups-mode", mode);
        }
        for namespace in &flags.empty_namespaces {
            self.value("--empty-ns", namespace);
        }
        self
    }
}

#[cfg(test)]
mod tests;
