//! `remapctl checkpoint`: the phases.
//!
//! | phase | what it does | after a later failure |
//! |---|---|---|
//! | look | finds the container; sees that there is room for the name | |
//! | dump | the shim saves the container, and holds it | the shim lets it go on, as it was |
//! | hand-over | saves the root file system; with `--exit` also writes the archive | the same |
//! | commit | the shim lets the container go on, or end | is not undone: with `--exit` the archive is there |
//! | archive | writes the archive, unless it is there | the container runs; there is no archive |
//!
//! A kill of this process is a failure to the shim. It leaves at most a hidden directory beside the
//! destination, and a lease in containerd that expires.

mod dump;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use remap_control::hand_over::Held;
use remap_engine::archive::{Container, ROOTFS_DIFF_FILE, RootfsDiff, Source, Stdio, Written};
use serde_json::json;

use crate::args::{Checkpoint, Form};
use crate::connect::{self, Found};
use crate::containerd::container::Kept;
use crate::containerd::lease::Lease;
use crate::containerd::{Containerd, rootfs};
use crate::interrupt::{GivenUp, Interrupt};
use crate::scratch::Scratch;
use crate::text::{bytes, print};
use crate::{block_on, writing};
use dump::Dump;

/// Takes the checkpoint and says what came of it.
///
/// # Errors
/// The phase, and why. The container is as before, unless the phase is archive or the error says so.
pub(crate) fn run(args: &Checkpoint) -> Result<ExitCode> {
    let begun = Instant::now();
    let taken = block_on(async {
        let interrupt = Interrupt::new(args.limit.duration())?;
        let given_up = interrupt.given_up();
        interrupt.unless(take(args, &given_up)).await
    })?;
    print(taken.told(args, begun.elapsed())?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn take(args: &Checkpoint, given_up: &GivenUp) -> Result<Written> {
    let source = look(args).await.context("phase look")?;
    let lease = source.containerd.lease().await.context("phase look")?;
    let taken = save(args, &source, &lease, given_up).await;
    lease.end().await;
    taken
}

/// What is saved, and where to.
struct Subject {
    containerd: Containerd,
    kept: Kept,
    /// The snapshot that the container's own is made of, if it has one.
    parent: Option<String>,
    /// Its shim.
    shim: Found,
    /// A directory for the images.
    scratch: Scratch,
}

impl Subject {
    fn images(&self) -> PathBuf {
        self.scratch.path().join("images")
    }

    fn rootfs_diff(&self) -> PathBuf {
        self.scratch.path().join(ROOTFS_DIFF_FILE)
    }
}

async fn look(args: &Checkpoint) -> Result<Subject> {
    if args.destination.symlink_metadata().is_ok() {
        bail!(
            "{} exists already; remove it, or name another",
            args.destination.display()
        );
    }
    let shim = connect::find(&args.place, &args.id)?;
    let containerd = Containerd::connect(&args.containerd.address, &args.place.namespace).await?;
    let mut kept = containerd.container(&args.id).await?;
    kept.container.namespace = Some(args.place.namespace.clone());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    kept.container.versions.insert("remapctl".into(), version);
    let parent = look_at_rootfs(&containerd, &mut kept).await?;
    look_at_task(&containerd, &mut kept.container).await?;
    Ok(Subject {
        containerd,
        kept,
        parent,
        shim,
        scratch: args.work.scratch(&args.destination, "checkpoint")?,
    })
}

/// Notes what the root file system is made of, and returns the snapshot below the container's own.
async fn look_at_rootfs(containerd: &Containerd, kept: &mut Kept) -> Result<Option<String>> {
    if let Some(image) = &mut kept.container.image
        && let Some(target) = containerd.image(&image.reference).await?
    {
        match containerd.configuration(&target).await {
            Ok(configuration) => image.config_digest = Some(configuration.digest),
            // A checkpoint does not depend on it.
            Err(error) => tracing::debug!(%error, "the image's configuration is not known"),
        }
        image.digest = Some(target.digest);
        image.media_type = Some(target.media_type);
        image.size = u64::try_from(target.size).ok();
    }
    let Some(snapshotter) = &kept.container.snapshotter else {
        return Ok(None);
    };
    if kept.snapshot_key.is_empty() {
        return Ok(None);
    }
    let snapshot = containerd.snapshot(snapshotter, &kept.snapshot_key).await?;
    let snapshot = snapshot.with_context(|| {
        format!(
            "the root file system of the container, the snapshot {} of {snapshotter}, is gone",
            kept.snapshot_key
        )
    })?;
    kept.container.snapshot_parent = Some(snapshot.parent.clone());
    Ok(Some(snapshot.parent))
}

/// Notes where the standard streams go.
async fn look_at_task(containerd: &Containerd, container: &mut Container) -> Result<()> {
    let task = containerd.task(&container.id).await?;
    let task = task.with_context(|| format!("the container {} has no task", container.id))?;
    container.stdio = Some(Stdio {
        stdin: task.stdin,
        stdout: task.stdout,
        stderr: task.stderr,
    });
    Ok(())
}

async fn save(
    args: &Checkpoint,
    subject: &Subject,
    lease: &Lease,
    given_up: &GivenUp,
) -> Result<Written> {
    let mut dump = Dump::begin(args, subject).context("phase dump")?;
    // Dropped, the hand-over is a no to the shim, whose answer is waited for: the container goes on.
    let held = match given_up.unless(dump.held()).await {
        Ok(held) => held,
        Err(error) => return Err(dump.given_up(error).await.context("phase dump")),
    };
    let handed_over = while_held(args, subject, lease, given_up).await;
    let written = match handed_over {
        Ok(written) => written,
        Err(error) => {
            forbid(held, &error).await;
            return Err(dump.given_up(error).await.context("phase hand-over"));
        }
    };
    let committed = async {
        held.commit().await.context("the shim is gone")?;
        dump.complete().await
    };
    committed.await.with_context(|| match &written {
        // The shim may have been killed, and the container with it: it may be all that there is.
        Some(written) => format!(
            "phase commit, and {} is complete; see whether the container has ended before you restore it",
            written.path.display()
        ),
        None => "phase commit".to_owned(),
    })?;
    match written {
        Some(written) => Ok(written),
        None => archive(args, subject, given_up)
            .await
            .context("phase archive"),
    }
}

/// What is done while the tasks stand still.
async fn while_held(
    args: &Checkpoint,
    subject: &Subject,
    lease: &Lease,
    given_up: &GivenUp,
) -> Result<Option<Written>> {
    if let (Some(parent), Some(snapshotter)) =
        (&subject.parent, &subject.kept.container.snapshotter)
    {
        let key = &subject.kept.snapshot_key;
        let path = subject.rootfs_diff();
        let saved = lease
            .containerd()
            .save_changes(snapshotter, key, parent, &path);
        given_up
            .unless(saved)
            .await
            .context("cannot save the root file system")?;
    }
    match args.asked.exit {
        true => archive(args, subject, given_up).await.map(Some),
        false => Ok(None),
    }
}

async fn forbid(held: Held, error: &anyhow::Error) {
    if let Err(error) = held.give_up(&format!("{error:#}")).await {
        tracing::debug!(%error, "the shim does not listen");
    }
}

async fn archive(args: &Checkpoint, subject: &Subject, given_up: &GivenUp) -> Result<Written> {
    let container = subject.kept.container.clone();
    let (images, diff) = (subject.images(), subject.rootfs_diff());
    let (destination, form, given_up) = (args.destination.clone(), args.written, given_up.clone());
    let work = move || write(&container, &images, &diff, form, &destination, &given_up);
    tokio::task::spawn_blocking(work).await?
}

fn write(
    container: &Container,
    images: &Path,
    diff: &Path,
    form: Form,
    destination: &Path,
    given_up: &GivenUp,
) -> Result<Written> {
    let source = Source {
        name: None,
        images,
        container: Some(container),
        rootfs_diff: diff.exists().then(|| RootfsDiff {
            media_type: rootfs::LAYER.to_owned(),
            digest: None,
            content: Box::new(diff.to_owned()),
        }),
        base_image: None,
    };
    writing::write_to(&source, form, destination, given_up)
}

trait Told {
    fn told(&self, args: &Checkpoint, took: Duration) -> Result<String>;
}

impl Told for Written {
    /// What came of it, for whoever has asked.
    fn told(&self, args: &Checkpoint, took: Duration) -> Result<String> {
        let exited = args.asked.exit;
        if args.json {
            let document = json!({
                "version": 1,
                "container": args.id,
                "namespace": args.place.namespace,
                "exited": exited,
                "checkpoint": self.path,
                "form": args.written.layout().to_string(),
                "bytes": self.bytes,
                "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            });
            return Ok(format!("{}\n", serde_json::to_string_pretty(&document)?));
        }
        Ok(format!(
            "{} is in {} ({}, {:.1} s), and {}\n",
            args.id,
            self.path.display(),
            bytes(self.bytes),
            took.as_secs_f64(),
            if exited { "has ended" } else { "runs on" }
        ))
    }
}
