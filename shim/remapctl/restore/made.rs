//! What a restore makes in containerd, and unmakes if it fails.

use std::path::Path;

use anyhow::{Error, Result};
use containerd_client::types::Mount;
use remap_engine::archive::{Container, Stdio};

use super::options;
use crate::containerd::lease::Lease;
use crate::containerd::{Containerd, rootfs};
use crate::interrupt::GivenUp;
use crate::path::absolute;

/// What there is so far.
pub(super) struct Made<'c> {
    containerd: Containerd,
    wanted: &'c Container,
    /// The mounts of the root file system.
    mounts: Vec<Mount>,
    has_snapshot: bool,
    has_container: bool,
    has_task: bool,
}

impl<'c> Made<'c> {
    /// Nothing yet.
    pub(super) fn of(containerd: Containerd, wanted: &'c Container) -> Self {
        Self {
            containerd,
            wanted,
            mounts: Vec::new(),
            has_snapshot: false,
            has_container: false,
            has_task: false,
        }
    }

    fn snapshotter(&self) -> &str {
        self.wanted.snapshotter.as_deref().unwrap_or_default()
    }

    /// Makes the snapshot of the root file system on `parent`, with the changes of the file `diff`, if
    /// there is one. Without a parent the container has no snapshot.
    ///
    /// # Errors
    /// It is not as it was.
    pub(super) async fn rootfs(
        &mut self,
        lease: &Lease,
        parent: Option<&str>,
        diff: &Path,
    ) -> Result<()> {
        let Some(parent) = parent else {
            return Ok(());
        };
        let key = &self.wanted.id;
        let prepared = lease
            .containerd()
            .prepare_snapshot(self.snapshotter(), key, parent);
        self.mounts = prepared.await?;
        self.has_snapshot = true;
        if !diff.exists() {
            return Ok(());
        }
        let path = diff.to_owned();
        let layer = tokio::task::spawn_blocking(move || rootfs::layer_of(&path)).await??;
        let name = format!("remapctl-{}-{key}", std::process::id());
        lease.containerd().write_blob(diff, &name, &layer).await?;
        Ok(lease.containerd().apply(layer, self.mounts.clone()).await?)
    }

    /// Makes the container, which the snapshot belongs to from now on.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn container(&mut self) -> Result<()> {
        let key = match self.has_snapshot {
            true => self.wanted.id.as_str(),
            false => "",
        };
        self.containerd.create_container(self.wanted, key).await?;
        self.has_container = true;
        Ok(())
    }

    /// Has the shim restore the tasks from `images`; the pid of init.
    ///
    /// # Errors
    /// They do not run.
    pub(super) async fn start(
        &mut self,
        images: &Path,
        stdio: &Stdio,
        given_up: &GivenUp,
    ) -> Result<u32> {
        let images = absolute(images)?;
        let runtime = &self.wanted.runtime;
        let options = options::with_images(runtime.options.clone(), &images)?;
        let terminal = self.wanted.spec.pointer("/process/terminal");
        let terminal = terminal
            .and_then(serde_json::Value::as_bool)
            .unwrap_or_default();
        let id = &self.wanted.id;
        let mounts = self.mounts.clone();
        let created = self
            .containerd
            .create_task(id, mounts, stdio, terminal, options);
        created.await?;
        self.has_task = true;
        // To its end: a restore that is left alone would go on.
        let pid = self.containerd.start_task(id).await?;
        match given_up.flow().is_break() {
            true => Err(GivenUp::error()),
            false => Ok(pid),
        }
    }

    /// Removes it all, after `error`, which is returned with what could not be removed.
    pub(super) async fn undo(self, error: Error) -> Error {
        let Self {
            containerd, wanted, ..
        } = &self;
        let id = &wanted.id;
        let mut left = Vec::new();
        if self.has_task {
            // One that was not started does not run.
            if let Err(error) = containerd.kill_task(id).await {
                tracing::debug!(%error, "it is not killed");
            }
            left.extend(containerd.delete_task(id).await.err());
        }
        if self.has_container {
            left.extend(containerd.delete_container(id).await.err());
        }
        if self.has_snapshot {
            let removed = containerd.remove_snapshot(self.snapshotter(), id).await;
            left.extend(removed.err().filter(|error| !error.is_not_found()));
        }
        left.into_iter().fold(error, |error, left| {
            Error::from(left).context(format!("{error:#}; and then something stays"))
        })
    }
}
