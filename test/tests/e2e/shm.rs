//! What a container shall share with nobody: a tmpfs of the host, bound on its /dev/shm.

use anyhow::{Result, ensure};
use remap_test::Host;

/// A tmpfs of a host, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Shm<'h> {
    host: &'h Host,
    path: String,
}

impl<'h> Shm<'h> {
    /// Mounts an empty one at `/run/NAME-shm` on `host`.
    pub(crate) fn mount(host: &'h Host, name: &str) -> Result<Self> {
        let path = format!("/run/{name}-shm");
        host.command("mkdir").arg(&path).check()?;
        host.command("mount")
            .args(["-t", "tmpfs", "-o", "size=256m,mode=1777", "shm", &path])
            .check()?;
        Ok(Self { host, path })
    }

    /// The host that has it.
    pub(crate) fn host(&self) -> &'h Host {
        self.host
    }

    /// Its mount point on the host.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path of its file `name` on the host.
    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// A line for each name: path, kind, mode, owner, links, size and target.
    pub(crate) fn names(&self) -> Result<String> {
        let line = r"find . -mindepth 1 -printf '%p %y %m %U:%G links %n size %s %l\n' | sort";
        self.list(line)
    }

    /// As [`Self::names`], and a checksum for each file: all that there is to know
    /// about it while nobody writes.
    pub(crate) fn contents(&self) -> Result<String> {
        let sums = self.list("find . -type f -exec sha256sum {} + | sort")?;
        Ok(format!("{}\n{sums}", self.names()?))
    }

    fn list(&self, line: &str) -> Result<String> {
        let command = self.host.command("sh").args(["-c", line]);
        Ok(command.current_dir(&self.path).check()?.text().into_owned())
    }

    /// Removes everything that is in it.
    pub(crate) fn clear(&self) -> Result<()> {
        self.list("find . -mindepth 1 -delete")?;
        Ok(())
    }

    /// The same, but for what is called `name`.
    pub(crate) fn clear_but(&self, name: &str) -> Result<()> {
        self.list(&format!("find . -mindepth 1 ! -name '{name}' -delete"))?;
        Ok(())
    }

    /// Nothing in it may be CRIU's or ours.
    pub(crate) fn expect_no_leftovers(&self) -> Result<()> {
        let line = "find . -name 'link_remap.*' -o -name '.remap*' -o -name '*.ghost'";
        let left = self.list(line)?;
        ensure!(
            left.is_empty(),
            "left in {} of host {}:\n{left}",
            self.path,
            self.host.name()
        );
        Ok(())
    }

    /// It must have just the names of `before`.
    pub(crate) fn expect_names(&self, before: &str) -> Result<()> {
        let now = self.names()?;
        ensure!(
            now == before,
            "in {} of host {} there was\n{before}\nand now there is\n{now}",
            self.path,
            self.host.name()
        );
        Ok(())
    }
}

impl Drop for Shm<'_> {
    fn drop(&mut self) {
        // Lazily: a container that has failed to end keeps a mount of its own only.
        for (program, flags) in [("umount", &["--lazy"][..]), ("rmdir", &[])] {
            let command = self.host.command(program).args(flags).arg(&self.path);
            if let Err(error) = command.check() {
                eprintln!("{error:#}");
            }
        }
    }
}
