//! `remapctl convert`: a checkpoint in another form.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use remap_engine::archive::{Source, Written, open};
use serde_json::json;

use crate::args::{Convert, Form, WorkDir};
use crate::interrupt::{GivenUp, Interrupt};
use crate::text::{bytes, print};
use crate::{block_on, reading, writing};

/// Converts and says what came of it.
///
/// # Errors
/// The checkpoint cannot be read or is damaged, or the other cannot be written. There is nothing at
/// the destination then.
pub(crate) fn run(args: &Convert) -> Result<ExitCode> {
    let written = block_on(async {
        let interrupt = Interrupt::new(args.limit.duration())?;
        let given_up = interrupt.given_up();
        let (checkpoint, destination) = (args.checkpoint.clone(), args.destination.clone());
        let (form, work_dir) = (args.written, args.work.clone());
        let work = move || convert(&checkpoint, &destination, form, &work_dir, &given_up);
        let work = async { tokio::task::spawn_blocking(work).await? };
        interrupt.unless(work).await
    })?;
    let told = if args.json {
        let document = json!({
            "version": 1,
            "checkpoint": written.path,
            "form": args.written.layout().to_string(),
            "bytes": written.bytes,
        });
        format!("{}\n", serde_json::to_string_pretty(&document)?)
    } else {
        format!(
            "{} is written ({})\n",
            written.path.display(),
            bytes(written.bytes)
        )
    };
    print(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn convert(
    checkpoint: &Path,
    destination: &Path,
    form: Form,
    work: &WorkDir,
    given_up: &GivenUp,
) -> Result<Written> {
    let archive = open(checkpoint)?;
    let scratch = work.scratch(destination, "convert")?;
    let plain = scratch.path().join("plain");
    reading::unpack(&archive, &plain, given_up)?;
    let source = Source {
        name: None,
        images: &plain,
        container: None,
        rootfs_diff: None,
        base_image: None,
    };
    writing::write_to(&source, form, destination, given_up)
}
