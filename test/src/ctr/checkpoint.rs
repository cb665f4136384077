//! Checkpoint and restore by `ctr`, with the flags that it needs to work at all.

use std::time::Duration;

use anyhow::Result;

use super::Ctr;
use super::documents::Place;

/// Of one step; the images of large containers take their time.
const TIMEOUT: Duration = Duration::from_secs(300);

impl Ctr<'_> {
    /// Checkpoints the container `id` with its task and its read-write layer into
    /// an image named `image`. The container runs on. Its plan is asked for before:
    /// [`super::truth`].
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn checkpoint(&self, id: &str, image: &str) -> Result<()> {
        self.as_planned(id, &["--file-locks"], Place::Image(image), || {
            self.command(["container", "checkpoint", "--task", "--rw", id, image])
                .timeout(TIMEOUT)
                .check()?;
            Ok(())
        })
    }

    /// Checkpoints only the task, into the host's directory `images`, with CRIU's
    /// logs in `work`; with `exit` the task ends.
    ///
    /// Under any runtime name but the stock one, containerd 1.7's `ctr` drops all of
    /// these options without a word (`withCheckpointOpts`). The plan is asked for as
    /// in [`Self::checkpoint`].
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn checkpoint_task(&self, id: &str, images: &str, work: &str, exit: bool) -> Result<()> {
        let options = ["--no-file-locks", "--exit"];
        let options = if exit { &options[..] } else { &options[..1] };
        self.as_planned(id, options, Place::Directory(images), || {
            let command = self.command(["task", "checkpoint", "--image-path", images]);
            command
                .args(["--work-path", work])
                .args(exit.then_some("--exit"))
                .arg(id)
                .timeout(TIMEOUT)
                .check()?;
            Ok(())
        })
    }

    /// Writes the checkpoint `image` to the host's file `path`.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn export_checkpoint(&self, image: &str, path: &str) -> Result<()> {
        // There is no Docker manifest for a checkpoint: asked for one, ctr fails. And
        // the transfer service of 2.1 now and then truncates the archive.
        self.command([
            "image",
            "export",
            "--skip-manifest-json",
            "--local",
            path,
            image,
        ])
        .timeout(TIMEOUT)
        .check()?;
        Ok(())
    }

    /// Reads a checkpoint from the host's file `path`; its image gets the name that
    /// it had.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn import_checkpoint(&self, path: &str) -> Result<()> {
        // A checkpoint is no file system: 1.7 fails when it tries to unpack it.
        self.command(["image", "import", "--local", "--no-unpack", path])
            .timeout(TIMEOUT)
            .check()?;
        Ok(())
    }

    /// Restores the checkpoint `image` as the container `id`, with its task and its
    /// read-write layer. The image that the container was made of has to be there.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn restore(&self, id: &str, image: &str) -> Result<()> {
        self.command(["container", "restore", "--rw", "--live", id, image])
            .timeout(TIMEOUT)
            .check()?;
        Ok(())
    }
}
