//! `remapctl install` and `remapctl uninstall`.

mod args;
mod block;
mod change;
mod cri;
pub(crate) mod file;
pub(crate) mod kept;
mod leave;
mod note;
mod place;
mod plan;
mod put;

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result};

pub(crate) use args::{Install, Uninstall};

use crate::text::print;

/// The exit code when nothing was done: something is in the way, or nobody has said yes.
const REFUSED: u8 = 1;

/// Puts the shim in place.
///
/// # Errors
/// It failed, and what was changed is as before.
pub(crate) fn install(args: &Install) -> Result<ExitCode> {
    let plan = match plan::make(args)? {
        Ok(plan) => plan,
        Err(reasons) => return refuse(&reasons),
    };
    print(plan.show().as_bytes())?;
    if !plan.is_done() && !agreed(args.yes)? {
        return Ok(REFUSED.into());
    }
    print(put::put(&plan, args.restart)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Takes it away.
///
/// # Errors
/// It failed; what of it was done is told, and can be done again.
pub(crate) fn uninstall(args: &Uninstall) -> Result<ExitCode> {
    let plan = match leave::plan(args)? {
        Ok(plan) => plan,
        Err(reasons) => return refuse(&reasons),
    };
    print(plan.show().as_bytes())?;
    if !plan.is_nothing() && !agreed(args.yes)? {
        return Ok(REFUSED.into());
    }
    print(plan.carry_out(args.restart)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// All reasons at once, each with what helps.
fn refuse(reasons: &[String]) -> Result<ExitCode> {
    for reason in reasons {
        eprintln!("remapctl: {}", crate::text::printable(reason));
    }
    eprintln!("remapctl: nothing was changed");
    Ok(REFUSED.into())
}

/// Whether to go on; asks where there is somebody to be asked.
fn agreed(yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        print(b"nothing was changed; --yes does it\n")?;
        return Ok(false);
    }
    print(b"Go on? [y/N] ")?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
