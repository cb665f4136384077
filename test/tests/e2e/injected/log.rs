//! The shim's log, as it grows: containerd copies it into its own.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use remap_test::Host;

/// What is added to the log from now on.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    rest: String,
}

impl Log {
    /// That of `host`.
    pub(super) fn follow(host: &Host) -> Result<Self> {
        let path = host.path("/var/log/containerd.log");
        let mut file = File::open(&path).context("no log of containerd")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            rest: String::new(),
        })
    }

    /// Whether it says by now that `phase` begins.
    pub(super) fn says(&mut self, phase: &str) -> Result<bool> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        self.rest += &String::from_utf8_lossy(&bytes);
        let wanted = format!("phase={phase}");
        let says = |line: &str| {
            line.contains("msg=begins") && line.split_whitespace().any(|word| word == wanted)
        };
        let found = self.rest.lines().any(says);
        let begun = self.rest.rfind('\n').map_or(0, |end| end + 1);
        self.rest.drain(..begun);
        Ok(found)
    }
}
