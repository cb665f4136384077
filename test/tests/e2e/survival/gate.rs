//! A runtime that waits in one of its commands until it is let go on.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::{Host, wait};

/// How long a container may take to come so far, on a machine with much to do.
const LIMIT: Duration = Duration::from_secs(60);

/// Where it waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// runc has not been called yet.
    Before,
    /// runc is at work since so many milliseconds.
    During(u32),
    /// runc has done its work, and who has called it does not know yet.
    After,
}

/// A program that is called as runc is, and calls runc.
#[derive(Debug)]
pub(super) struct Gate<'h> {
    host: &'h Host,
    dir: String,
}

impl<'h> Gate<'h> {
    /// Writes it into `dir` on `host`. It waits in the first `command`.
    pub(super) fn install(host: &'h Host, dir: &str, command: &str, when: When) -> Result<Self> {
        let dir = format!("{dir}/gate");
        host.shell(&format!("rm -rf {dir}"))?;
        let wait = format!("touch {dir}/reached; while [ -e {dir}/closed ]; do sleep 0.05; done");
        let program = match when {
            When::Before => format!("{wait}\nexec runc \"$@\""),
            When::During(milliseconds) => format!(
                "runc \"$@\" <&0 &\npid=$!\nsleep {}\nkill -STOP $pid\n{wait}\nkill -CONT $pid\n\
                 wait $pid",
                f64::from(milliseconds) / 1000.0
            ),
            When::After => format!("runc \"$@\"\ncode=$?\n{wait}\nexit $code"),
        };
        let script = format!(
            "#!/bin/sh\n\
             is=no\n\
             for word in \"$@\"; do [ \"$word\" = {command} ] && is=yes; done\n\
             [ $is = yes ] && rm {dir}/first 2>/dev/null || exec runc \"$@\"\n\
             {program}\n"
        );
        host.shell(&format!("mkdir -p {dir} && touch {dir}/closed {dir}/first"))?;
        host.write_file(&format!("{dir}/runc"), script)?;
        host.shell(&format!("chmod 755 {dir}/runc"))?;
        Ok(Self { host, dir })
    }

    /// The program, for `ctr run --runc-binary`.
    pub(super) fn program(&self) -> String {
        format!("{}/runc", self.dir)
    }

    /// Waits until it waits.
    pub(super) fn wait(&self) -> Result<()> {
        let reached = self.host.path(format!("{}/reached", self.dir));
        ensure!(
            wait::until(LIMIT, || Ok(reached.exists()))?,
            "runc is not called"
        );
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn open(&self) -> Result<()> {
        self.host.shell(&format!("rm -f {}/closed", self.dir))?;
        Ok(())
    }
}
