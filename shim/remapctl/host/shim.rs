//! What a shim is, by what it says of itself.

use std::ffi::OsStr;
use std::path::Path;

use super::lookup::OWN;
use super::program::{self, ProgramError};

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shim {
    /// This project's, of this version.
    Ours(String),
    /// Another.
    Other,
}

/// Asks the shim at `path`.
///
/// # Errors
/// It does not run. (Other shims may not know `-v`.)
pub(crate) fn ask(path: &Path) -> Result<Shim, ProgramError> {
    let answer = program::ask(path, None, &[OsStr::new("-v")])?;
    Ok(of(&answer.output))
}

/// Go's shims say the name under which they were run, and a colon.
fn of(said: &str) -> Shim {
    let version = said.trim().strip_prefix(OWN);
    let version = version.and_then(|rest| rest.strip_prefix(' '));
    version.map_or(Shim::Other, |version| Shim::Ours(version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_says_its_name_and_version() {
        let ours = of("containerd-shim-remap-v2 0.1.0\n");
        assert_eq!(ours, Shim::Ours("0.1.0".into()));
        assert_eq!(
            of("containerd-shim-runc-v2:\n  Version:  1.7.24\n"),
            Shim::Other
        );
        let renamed = "containerd-shim-remap-v2:\n  Version:  1.7.24\n";
        assert_eq!(of(renamed), Shim::Other);
        assert_eq!(of(""), Shim::Other);
    }
}
