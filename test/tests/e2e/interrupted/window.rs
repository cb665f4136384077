//! Stops CRIU in a stage of its work for as long as a test needs it there.

use anyhow::{Result, ensure};
use remap_test::{Host, wait};

use crate::workload::LIMIT;

/// The stages that the scenarios stop in (criu(8), `--action-script`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// Dump: the tasks are frozen, nothing is written.
    NetworkLock,
    /// Dump: all images are written.
    PostDump,
    /// Restore: the namespaces are there, the tasks are not.
    SetupNamespaces,
    /// Restore: the tasks are there, and wait.
    PostRestore,
    /// Restore: they are about to run.
    PreResume,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::NetworkLock => "network-lock",
            Self::PostDump => "post-dump",
            Self::SetupNamespaces => "setup-namespaces",
            Self::PostRestore => "post-restore",
            Self::PreResume => "pre-resume",
        }
    }
}

/// A CRIU configuration of the user's whose action script waits in a stage. It
/// waits no longer than the CRIU that has called it lives.
#[derive(Debug)]
pub(crate) struct Window<'h> {
    host: &'h Host,
    dir: String,
}

impl<'h> Window<'h> {
    /// Writes configuration and script into `dir` on `host`.
    pub(crate) fn install(host: &'h Host, dir: &str) -> Result<Self> {
        let script = format!(
            "#!/bin/sh\n\
             cd {dir} && [ \"$CRTOOLS_SCRIPT_ACTION\" = \"$(cat stage 2>/dev/null)\" ] || exit 0\n\
             echo $PPID >>reached\n\
             while [ -e stage ] && kill -0 $PPID; do sleep 0.05; done\n"
        );
        host.write_file(&format!("{dir}/script"), script)?;
        host.write_file(
            &format!("{dir}/criu.conf"),
            format!("action-script {dir}/script\n"),
        )?;
        host.shell(&format!("chmod 755 {dir}/script"))?;
        Ok(Self {
            host,
            dir: dir.to_owned(),
        })
    }

    /// The configuration, for the annotation `org.criu.config`.
    pub(crate) fn config(&self) -> String {
        format!("{}/criu.conf", self.dir)
    }

    /// From now on CRIU stops in `stage`.
    pub(crate) fn close(&self, stage: Stage) -> Result<()> {
        self.host.shell(&format!("rm -f {}/reached", self.dir))?;
        self.host
            .write_file(&format!("{}/stage", self.dir), stage.name())
    }

    /// Whether CRIU has stopped there.
    pub(crate) fn is_reached(&self) -> bool {
        self.host.path(format!("{}/reached", self.dir)).exists()
    }

    /// Waits until CRIU has stopped there.
    pub(crate) fn wait(&self) -> Result<()> {
        ensure!(
            wait::until(LIMIT, || Ok(self.is_reached()))?,
            "CRIU does not come to the stage in which it is awaited"
        );
        Ok(())
    }

    /// CRIU goes on, and stops no more.
    pub(crate) fn open(&self) -> Result<()> {
        self.host.shell(&format!("rm -f {}/stage", self.dir))?;
        Ok(())
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.open() {
            eprintln!("{error:#}");
        }
    }
}
