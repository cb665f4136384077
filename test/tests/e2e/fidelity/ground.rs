//! What is mounted in a workload's container, on either host.

use anyhow::Result;
use remap_test::Host;
use remap_test::ctr::Run;

use crate::context::Context;

/// The container, on whichever host.
pub(super) const ID: &str = "fidelity";

/// The second container of a workload that has two.
pub(super) const PARTNER: &str = "fidelity-partner";

/// Where the hosts' tmpfs are.
const TMPFS: &str = "/run/fidelity";

/// Where the hosts' volumes are, on disk.
const VOLUMES: &str = "/srv/fidelity-volumes";

/// A mount of the container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mount {
    /// What of the host.
    pub(crate) source: Source,
    /// Where in the container.
    pub(crate) at: &'static str,
    /// Of `ctr run --mount`; `rbind:rw` as a rule.
    pub(crate) options: &'static str,
}

/// What a mount is of. Every tmpfs and volume is the container's own and named by a word; on the
/// other host it is a new, empty one, with the same directories and files that are said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A host's tmpfs of this name.
    Tmpfs(&'static str),
    /// A directory of it.
    Directory(&'static str, &'static str),
    /// A file of it; it has a line of text.
    File(&'static str, &'static str),
    /// A directory on the host's disk, which the suite copies when the container moves.
    Volume(&'static str),
    /// A tmpfs that the runtime makes, which is CRIU's.
    Internal,
}

impl Mount {
    /// A tmpfs on /dev/shm.
    pub(crate) const SHM: Self = Self::new(Source::Tmpfs("shm"), "/dev/shm");

    /// Writable.
    pub(crate) const fn new(source: Source, at: &'static str) -> Self {
        Self {
            source,
            at,
            options: "rbind:rw",
        }
    }

    /// Not writable.
    pub(crate) const fn read_only(source: Source, at: &'static str) -> Self {
        let mut mount = Self::new(source, at);
        mount.options = "rbind:ro";
        mount
    }

    /// As `ctr run --mount` has it.
    fn text(&self) -> String {
        let options = self.options;
        let at = self.at;
        match self.path() {
            Some(path) => format!("type=bind,src={path},dst={at},options={options}"),
            None => format!("type=tmpfs,src=tmpfs,dst={at}"),
        }
    }

    /// Its source on the host.
    pub(super) fn path(&self) -> Option<String> {
        match self.source {
            Source::Tmpfs(name) => Some(format!("{TMPFS}/{name}")),
            Source::Directory(name, path) | Source::File(name, path) => {
                Some(format!("{TMPFS}/{name}/{path}"))
            }
            Source::Volume(name) => Some(format!("{VOLUMES}/{name}")),
            Source::Internal => None,
        }
    }
}

/// The sources of mounts on a host, gone when this is dropped.
#[derive(Debug)]
pub(super) struct Ground<'h> {
    host: &'h Host,
    mounts: &'static [Mount],
}

impl<'h> Ground<'h> {
    /// Makes them.
    pub(super) fn lay(host: &'h Host, mounts: &'static [Mount]) -> Result<Self> {
        let ground = Self { host, mounts };
        host.shell(&format!("mkdir -p {TMPFS} {VOLUMES}"))?;
        ground.make()?;
        Ok(ground)
    }

    /// The host that has them.
    pub(super) fn host(&self) -> &'h Host {
        self.host
    }

    /// Makes them anew, as on a host where the container has never been.
    pub(super) fn renew(&self) -> Result<()> {
        self.remove()?;
        self.make()
    }

    /// Copies the volumes to another host, as if they were on a network.
    pub(super) fn send_volumes(&self, context: &Context, to: &Ground<'_>) -> Result<()> {
        for mount in self.mounts {
            if let (Source::Volume(_), Some(path)) = (mount.source, mount.path()) {
                context
                    .link()
                    .copy_directory(self.host, &path, to.host, &path)?;
            }
        }
        Ok(())
    }

    /// Nothing on a tmpfs may be CRIU's or ours.
    pub(super) fn expect_no_leftovers(&self) -> Result<()> {
        let line = format!(
            "find {TMPFS} {VOLUMES} -name 'link_remap.*' -o -name '.remap*' -o -name '*.ghost'"
        );
        let left = self.host.shell(&line)?;
        anyhow::ensure!(
            left.stdout.is_empty(),
            "left on host {}:\n{}",
            self.host.name(),
            left.text()
        );
        Ok(())
    }

    fn make(&self) -> Result<()> {
        for mount in self.mounts {
            let Some(path) = mount.path() else { continue };
            match mount.source {
                Source::Tmpfs(name) | Source::Directory(name, _) | Source::File(name, _) => {
                    // Several mounts may be of one.
                    self.host.shell(&format!(
                        "mountpoint -q {TMPFS}/{name} || {{ mkdir -p {TMPFS}/{name} && \
                         mount -t tmpfs -o size=4g,mode=1777 {name} {TMPFS}/{name}; }}"
                    ))?;
                }
                Source::Volume(_) | Source::Internal => {}
            }
            self.host.shell(&match mount.source {
                Source::File(..) => format!("echo text >{path}"),
                _ => format!("mkdir -p {path} && chmod 1777 {path}"),
            })?;
        }
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        // Lazily: a container that has failed to end keeps a mount of its own only.
        self.host.shell(&format!(
            "for dir in {TMPFS}/*; do [ ! -d $dir ] || {{ umount --lazy $dir && rmdir $dir; }}; done; \
             rm -rf {VOLUMES}/*"
        ))?;
        Ok(())
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        let cleared = self
            .remove()
            .and_then(|()| self.host.shell(&format!("rm -rf {TMPFS} {VOLUMES}")));
        if let Err(error) = cleared {
            eprintln!("{error:#}");
        }
    }
}

/// Adds the mounts to a container.
pub(super) fn mount<'h>(run: Run<'h>, mounts: &[Mount]) -> Run<'h> {
    mounts
        .iter()
        .fold(run, |run, mount| run.mount(&mount.text()))
}
