//! What CRIU and OCI runtimes call: today the CRIU action script that holds a dump or
//! a restore; and the tracer that a restore calls itself.
//!
//! These are no executables of their own. CRIU is given a symbolic link, named
//! [`SCRIPT_NAME`], to the very executable that waits for the call (the shim), and that executable
//! calls [`run_as`] when it finds itself called by that name, or by that of the tracer. So there is one file to install, and a
//! running shim and its script are of one build even after the installed file was replaced.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use remap_engine::hold::{self, SCRIPT_NAME, Verdict};
use remap_engine::relock::tracer::{self, TRACER_NAME};

/// Exit code of the script when the dump or restore is to be undone on purpose.
const EXIT_VETO: u8 = 1;

/// Exit code of the script when nobody answered; it is undone, too.
const EXIT_NO_ANSWER: u8 = 2;

/// Acts as what the program was called as; `None` if it was called by another name than these.
#[must_use]
pub fn run_as(called_as: &OsStr) -> Option<ExitCode> {
    let name = Path::new(called_as).file_name()?;
    if name == SCRIPT_NAME {
        Some(script(called_as))
    } else if name == TRACER_NAME {
        Some(tracer::run())
    } else {
        None
    }
}

/// Acts as CRIU's action script. CRIU takes every exit code but 0 as a veto, after which the dumped
/// tasks go on, or the restored ones end (criu(8), `--action-script`).
fn script(called_as: &OsStr) -> ExitCode {
    match hold::ask(Path::new(called_as)) {
        Ok(Verdict::Release) => ExitCode::SUCCESS,
        Ok(Verdict::Veto) => ExitCode::from(EXIT_VETO),
        Err(error) => {
            // CRIU passes this on to whoever reads its standard error.
            let called_as = Path::new(called_as).display();
            eprintln!("{called_as}: nobody answers ({error}); what CRIU was about to do is undone");
            ExitCode::from(EXIT_NO_ANSWER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_part_of_the_path_counts() {
        // Without a stage that it knows, the script lets CRIU go on.
        assert!(run_as(OsStr::new("/run/b/remap/hold/remap-hook")).is_some());
        assert!(run_as(OsStr::new("/opt/remap-hook/containerd-shim-remap-v2")).is_none());
        assert!(run_as(OsStr::new("")).is_none());
    }
}
