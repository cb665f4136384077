//! `remapctl restore`: the phases.
//!
//! | phase | what it does | how a later failure undoes it |
//! |---|---|---|
//! | open | reads the documents of the checkpoint | |
//! | fit | holds what it needs against what this host has; refuses with all reasons | |
//! | unpack | checks it against its digests, into a hidden directory | the directory goes |
//! | rootfs | makes the snapshot of the root file system | it goes |
//! | container | makes the container | it goes |
//! | start | the shim restores the tasks | the task goes |
//!
//! A kill of this process leaves the hidden directory, and what belongs to the container, if that was
//! made already.

mod fit;
mod made;
mod options;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use remap_engine::archive::{Archive, Container, ROOTFS_DIFF_FILE, Stdio, open};
use serde_json::json;

use crate::args::Restore;
use crate::containerd::Containerd;
use crate::interrupt::{GivenUp, Interrupt};
use crate::outcome::Refused;
use crate::path::absolute;
use crate::scratch::Scratch;
use crate::text::print;
use crate::{block_on, reading};
use made::Made;

/// Restores and says what came of it.
///
/// # Errors
/// The phase, and why. There is no container then, or no other one than before.
pub(crate) fn run(args: &Restore) -> Result<ExitCode> {
    let begun = Instant::now();
    let (container, pid) = block_on(async {
        let interrupt = Interrupt::new(args.limit.duration())?;
        let given_up = interrupt.given_up();
        interrupt.unless(restore(args, &given_up)).await
    })?;
    print(told(args, &container, pid, begun.elapsed())?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(args: &Restore, given_up: &GivenUp) -> Result<(Container, u32)> {
    let archive = open(&args.checkpoint).context("phase open")?;
    let container = wanted(args, &archive).context("phase open")?;
    let namespace = container.namespace.as_deref().unwrap_or("default");
    let containerd = Containerd::connect(&args.containerd.address, namespace);
    let containerd = containerd.await.context("phase fit")?;
    let ground = fit::fit(&containerd, &archive, &container).await;
    let ground = ground.context("phase fit")?;
    let unpacked = unpack(args, archive, given_up)
        .await
        .context("phase unpack")?;
    let lease = containerd.lease().await.context("phase rootfs")?;
    let mut made = Made::of(containerd.clone(), &container);
    let restored = async {
        let diff = unpacked.rootfs_diff();
        let work = made.rootfs(&lease, ground.parent.as_deref(), &diff);
        given_up.unless(work).await.context("phase rootfs")?;
        made.container().await.context("phase container")?;
        let stdio = stdio(args, &container).context("phase start")?;
        made.start(&unpacked.images(), &stdio, given_up)
            .await
            .context("phase start")
    }
    .await;
    lease.end().await;
    match restored {
        Ok(pid) => Ok((container, pid)),
        Err(error) => Err(made.undo(error).await),
    }
}

/// The container as it is to be here.
fn wanted(args: &Restore, archive: &Archive) -> Result<Container> {
    let container = archive.container().cloned();
    let mut container = container.with_context(|| {
        format!(
            "{} does not say which container it is of: it has CRIU's images only; make the container anew, and start it with criu_image_path",
            args.checkpoint.display()
        )
    })?;
    if let Some(namespace) = &args.namespace {
        container.namespace = Some(namespace.clone());
    }
    if let Some(snapshotter) = &args.snapshotter {
        container.snapshotter = Some(snapshotter.clone());
    }
    if let Some(id) = &args.id {
        options::rename(&mut container, id);
    }
    Ok(container)
}

/// A checkpoint in its plain form, for as long as this is there.
struct Unpacked(Scratch);

impl Unpacked {
    fn images(&self) -> PathBuf {
        self.0.path().join("plain")
    }

    fn rootfs_diff(&self) -> PathBuf {
        self.images().join(ROOTFS_DIFF_FILE)
    }
}

async fn unpack(args: &Restore, archive: Archive, given_up: &GivenUp) -> Result<Unpacked> {
    let path = std::path::absolute(&args.checkpoint)?;
    let unpacked = Unpacked(args.work.scratch(&path, "restore")?);
    let (images, given_up) = (unpacked.images(), given_up.clone());
    let work = move || reading::unpack(&archive, &images, &given_up);
    tokio::task::spawn_blocking(work).await??;
    Ok(unpacked)
}

/// Where the streams go: where it is said, or to the log that the container had; a FIFO has nobody at
/// its other end.
fn stdio(args: &Restore, container: &Container) -> Result<Stdio> {
    let had = container.stdio.clone().unwrap_or_default();
    let is_log = |uri: &String| uri.contains("://");
    let log = match &args.log {
        Some(log) if log.contains("://") => Some(log.clone()),
        Some(log) => Some(format!("file://{}", absolute(Path::new(log))?)),
        // The log of the original is its own.
        None if args.id.is_some() => None,
        None => {
            let kept = |uri: String| Some(uri).filter(is_log).unwrap_or_default();
            return Ok(Stdio {
                stdin: String::new(),
                stdout: kept(had.stdout),
                stderr: kept(had.stderr),
            });
        }
    };
    Ok(Stdio {
        stdin: String::new(),
        stdout: log.clone().unwrap_or_default(),
        stderr: log.unwrap_or_default(),
    })
}

fn told(args: &Restore, container: &Container, pid: u32, took: Duration) -> Result<String> {
    let namespace = container.namespace.as_deref().unwrap_or("default");
    if args.json {
        let document = json!({
            "version": 1,
            "container": container.id,
            "namespace": namespace,
            "pid": pid,
            "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        return Ok(format!("{}\n", serde_json::to_string_pretty(&document)?));
    }
    Ok(format!(
        "{} runs in namespace {namespace} as pid {pid} ({:.1} s)\n",
        container.id,
        took.as_secs_f64()
    ))
}

/// A refusal with all its reasons.
fn refused(reasons: &[String]) -> Error {
    let text = match reasons {
        [one] => one.clone(),
        many => many
            .iter()
            .enumerate()
            .map(|(index, reason)| format!("({}) {reason}", index + 1))
            .collect::<Vec<_>>()
            .join("; "),
    };
    Refused(Error::msg(text)).into()
}
