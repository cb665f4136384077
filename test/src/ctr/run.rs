//! Running a container.

use std::time::Duration;

use anyhow::Result;

use super::{Ctr, Runtime};
use crate::exec::{Background, HostCommand, Output};

/// What a container's root is made of.
#[derive(Debug, Clone)]
pub(super) enum Root {
    /// A snapshot of this image.
    Image(String),
    /// This directory of the host, as it is.
    Directory(String),
}

/// A container to be run, described step by step.
#[derive(Debug, Clone)]
#[must_use = "the container is not run yet"]
pub struct Run<'h> {
    ctr: Ctr<'h>,
    root: Root,
    id: String,
    flags: Vec<String>,
    args: Vec<String>,
    timeout: Duration,
}

impl<'h> Run<'h> {
    pub(super) fn new(ctr: Ctr<'h>, runtime: Runtime, root: Root, id: &str) -> Self {
        Self {
            ctr,
            root,
            id: id.to_owned(),
            flags: vec!["--runtime".to_owned(), runtime.name().to_owned()],
            args: Vec::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// The program and its arguments. Without them: what the image says.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A line of shell instead of [`Self::args`].
    pub fn shell(self, line: &str) -> Self {
        self.args(["/bin/sh", "-c", line])
    }

    /// Binds the host's `source` on `destination`, writable.
    pub fn bind(self, source: &str, destination: &str) -> Self {
        self.mount(&format!(
            "type=bind,src={source},dst={destination},options=rbind:rw"
        ))
    }

    /// Any mount, as `ctr run --mount` has it.
    pub fn mount(self, mount: &str) -> Self {
        self.flag(["--mount", mount])
    }

    /// An annotation of the bundle.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.flag(["--annotation", &format!("{key}={value}")])
    }

    /// A variable of the container's environment.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.flag(["--env", &format!("{name}={value}")])
    }

    /// Sends the container's output to the host's file `path`. Without this a
    /// detached container has none: its standard streams are `/dev/null`.
    pub fn log_file(self, path: &str) -> Self {
        self.flag(["--log-uri", &format!("file://{path}")])
    }

    /// Any other flags of `ctr run`.
    pub fn flag<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// How long [`Self::start`] and [`Self::output`] may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts it and returns as soon as it runs.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(mut self) -> Result<()> {
        if !self.flags.iter().any(|flag| flag == "--log-uri") {
            self = self.flag(["--null-io"]);
        }
        self.flag(["--detach"]).command().check()?;
        Ok(())
    }

    /// Runs it to its end, with its output and its exit code as those of `ctr`,
    /// and removes it. (`ctr` exits with the container, and more than 64 KiB that
    /// were written just before may be lost: seen with the stock shim, too.)
    ///
    /// # Errors
    /// `ctr` cannot be started. A failure of the container is no error here.
    pub fn output(self) -> Result<Output> {
        self.flag(["--rm"]).command().run()
    }

    /// As [`Self::output`], without waiting for the end.
    ///
    /// # Errors
    /// `ctr` cannot be started.
    pub fn background(self) -> Result<Background> {
        self.flag(["--rm"]).command().spawn()
    }

    fn command(self) -> HostCommand<'h> {
        let command = self
            .ctr
            .command(["run"])
            .timeout(self.timeout)
            .args(self.flags);
        let command = match self.root {
            Root::Image(image) => command.arg(image),
            Root::Directory(dir) => command.args(["--rootfs", &dir]),
        };
        command.arg(self.id).args(self.args)
    }
}
