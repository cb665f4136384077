//! `remapctl verify`: whether a checkpoint is whole.

use std::process::ExitCode;

use anyhow::Result;
use remap_engine::archive::{ArchiveError, Fault, open};
use serde_json::json;

use crate::args::Verify;
use crate::interrupt::Interrupt;
use crate::outcome::DAMAGED;
use crate::text::{count, print, printable};
use crate::{block_on, reading};

/// Reads all of it and says what is wrong.
///
/// # Errors
/// It cannot be read.
pub(crate) fn run(args: &Verify) -> Result<ExitCode> {
    let faults = match open(&args.checkpoint) {
        Ok(archive) => block_on(async {
            let interrupt = Interrupt::new(None)?;
            let given_up = interrupt.given_up();
            let work = move || reading::verify(&archive, &given_up);
            let work = async { tokio::task::spawn_blocking(work).await? };
            interrupt.unless(work).await
        })?,
        Err(ArchiveError::Damaged { faults, .. }) => faults.0,
        Err(error) => return Err(error.into()),
    };
    print(told(args, &faults)?.as_bytes())?;
    Ok(match faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => DAMAGED.into(),
    })
}

fn told(args: &Verify, faults: &[Fault]) -> Result<String> {
    if args.json {
        let faults = faults
            .iter()
            .map(|fault| json!({"object": fault.object, "what": fault.what}));
        let document = json!({
            "version": 1,
            "checkpoint": args.checkpoint,
            "faults": faults.collect::<Vec<_>>(),
        });
        return Ok(format!("{}\n", serde_json::to_string_pretty(&document)?));
    }
    let path = args.checkpoint.display();
    if faults.is_empty() {
        return Ok(format!("{path} is whole\n"));
    }
    let mut lines = format!(
        "{path} is damaged ({}):\n",
        count(faults.len(), "fault", "faults")
    );
    for fault in faults {
        lines += &format!("  {}\n", printable(&fault.to_string()));
    }
    Ok(lines)
}
