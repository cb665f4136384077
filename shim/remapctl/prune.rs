//! `remapctl prune`.

mod age;
mod args;
mod checkpoints;
mod item;
mod kept;
mod logs;
mod render;
mod size;
pub(crate) mod temporary;

use std::process::ExitCode;

use anyhow::{Context, Result};

pub(crate) use args::Prune;
use item::{Item, Report};

use crate::host::config::Config;
use crate::host::containerd;
use crate::text::print;

const SCHEMA: &str = include_str!("schema/prune.json");

/// Lists, and with `--yes` removes.
///
/// # Errors
/// It cannot be told what there is. That something cannot be removed is told in the report.
pub(crate) fn run(args: &Prune) -> Result<ExitCode> {
    if args.schema {
        return print(SCHEMA.as_bytes()).map(|()| ExitCode::SUCCESS);
    }
    let mut items = find(args)?;
    if args.yes {
        for item in &mut items {
            item.remove();
        }
    }
    let report = Report::of(items, args.yes);
    if args.json {
        let json = serde_json::to_vec_pretty(&report).context("the report cannot be written")?;
        print(&[&json[..], b"\n"].concat())?;
    } else {
        print(render::render(&report).as_bytes())?;
    }
    Ok(report.exit_code().into())
}

fn find(args: &Prune) -> Result<Vec<Item>> {
    // Without one that runs, what one has left is where it usually is.
    let containerds = containerd::find().context("/proc cannot be read")?;
    let mut places = vec![std::path::PathBuf::from("/tmp")];
    let mut states = vec![args.state.clone()];
    for containerd in &containerds {
        if let Ok(config) = Config::of(containerd) {
            states.push(config.state());
        }
        places.push(containerd.temporary.clone());
    }
    states.sort();
    states.dedup();
    places.sort();
    places.dedup();
    let mut items = Vec::new();
    for place in places {
        items.extend(temporary::find_with(&place, &states, args.unused_for())?);
    }
    items.extend(logs::find(args.logs_older_than())?);
    items.extend(kept::find(&states)?);
    if let Some(dir) = &args.checkpoints {
        items.extend(checkpoints::find(dir, args.older_than(), args.keep)?);
    }
    Ok(items)
}
