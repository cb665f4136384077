//! An exec session in the container: a process outside of its tree.

use anyhow::{Result, ensure};
use remap_test::exec::Background;
use remap_test::{Ctr, wait};

use crate::workload::{ID, LIMIT};

/// It is the process of which `pidfd-outside` takes a pidfd.
const PROGRAM: [&str; 2] = ["sleep", "601"];

const EXEC_ID: &str = "session";

#[derive(Debug)]
pub(crate) struct Session<'c> {
    ctr: Ctr<'c>,
    client: Background,
}

impl<'c> Session<'c> {
    /// Begins one in the container [`ID`], in which there is nothing but its init.
    pub(crate) fn begin(ctr: &Ctr<'c>) -> Result<Self> {
        let exec = ctr.command(["task", "exec", "--exec-id", EXEC_ID, ID]);
        let client = exec.args(PROGRAM).spawn()?;
        let begun = || Ok(ctr.exec(ID, &["pidof", "sleep"])?.exit_code() == 0);
        ensure!(wait::until(LIMIT, begun)?, "the session does not begin");
        Ok(Self {
            ctr: ctr.clone(),
            client,
        })
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<()> {
        let kill = [
            "task",
            "kill",
            "--exec-id",
            EXEC_ID,
            "--signal",
            "SIGKILL",
            ID,
        ];
        self.ctr.command(kill).check()?;
        self.client.finish(LIMIT)?;
        Ok(())
    }
}
