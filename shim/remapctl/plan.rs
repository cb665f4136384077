//! `remapctl plan`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use remap_control::document::{Document, VERSION, Verdict};
use remap_control::view::Forecast;
use remap_control::{client, plan_schema};

use crate::args::Plan;
use crate::text::print;
use crate::{connect, table};

/// A table's width where there is no terminal.
const WIDTH: usize = 100;

/// Asks and prints; the exit code is the answer in short.
///
/// # Errors
/// There is no answer.
pub(crate) fn run(args: &Plan) -> Result<ExitCode> {
    let Some(id) = &args.id else {
        let schema = plan_schema().context("the schema cannot be put together")?;
        return print(format!("{schema}\n").as_bytes()).map(|()| ExitCode::SUCCESS);
    };
    let bytes = ask(args, id)?;
    let document: Document<Forecast> =
        serde_json::from_slice(&bytes).context("the shim's answer cannot be read")?;
    if document.version != VERSION {
        bail!(
            "the shim's answer has version {}, and this remapctl reads {VERSION}; use the remapctl that was installed with the shim",
            document.version
        );
    }
    if args.json {
        // As the shim wrote it, also what this program does not know.
        print(&[bytes.trim_ascii_end(), b"\n"].concat())?;
    } else {
        print(table::render(&document, width()).as_bytes())?;
    }
    Ok(exit_code(document.verdict).into())
}

/// 0 only if the shim says clearly that it would work.
fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Works => 0,
        Verdict::Refused | Verdict::Unknown => 1,
    }
}

fn ask(args: &Plan, id: &str) -> Result<Vec<u8>> {
    let request = args.request(id);
    connect::ask(&args.shim, id, async |socket| {
        client::plan(socket, &request, args.shim.timeout()).await
    })
}

fn width() -> usize {
    let stdout = io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout).ok())
        .flatten();
    size.map_or(WIDTH, |size| usize::from(size.ws_col).clamp(60, 160))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_success() {
        assert_eq!(exit_code(Verdict::Works), 0);
        assert_eq!(exit_code(Verdict::Refused), 1);
        assert_eq!(exit_code(Verdict::Unknown), 1);
    }
}
