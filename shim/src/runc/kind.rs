//! Which program the runtime is, where runc's command line is not enough to know.

use std::path::Path;

use remap_engine::{
    criu::config::{ExternalMount, is_one_word},
    plan::Refusal,
};
use thiserror::Error;

use super::{Call, CriuFlags, Runc, RuncError};

/// The first crun that hands CRIU the configuration that `org.criu.config` names (its
/// `handle_criu_config_file`).
const CRUN_WITH_CONFIG: (u32, u32) = (1, 26);

/// Where crun keeps its state if nobody says where.
const CRUN_ROOT: &str = "/run/crun";

/// Where CRIU looks for a configuration that nobody names to it (criu(8), "CONFIGURATION FILES").
pub(super) const CONFIG_VARIABLE: &str = "CRIU_CONFIG_FILE";

/// The program, as far as it matters for a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// runc, or one that does as runc does.
    #[default]
    Runc,
    /// crun.
    Crun {
        /// It was built to use CRIU's library.
        criu: bool,
        /// It gives CRIU the configuration that the annotation names; else CRIU has to be told by
        /// its environment.
        config: bool,
    },
}

/// What a runtime cannot do, and the remedy.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct KindError(pub(crate) Refusal);

impl Kind {
    /// Understands what `--version` prints.
    fn of(text: &str) -> Self {
        let mut lines = text.lines();
        let Some(version) = lines
            .next()
            .and_then(|line| line.strip_prefix("crun version "))
        else {
            return Self::Runc;
        };
        let mut numbers = version
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|number| number.parse().ok());
        let version = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        Self::Crun {
            criu: lines.any(|line| line.split_whitespace().any(|word| word == "+CRIU")),
            config: version >= CRUN_WITH_CONFIG,
        }
    }

    /// Whether CRIU learns of its configuration by its environment only. What is in it counts less
    /// then than what the runtime asks for.
    pub(crate) fn needs_environment(self) -> bool {
        matches!(self, Self::Crun { config: false, .. })
    }

    /// Whether it is crun.
    pub(crate) fn is_crun(self) -> bool {
        matches!(self, Self::Crun { .. })
    }
}

/// What a program says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Which one it is.
    pub(crate) kind: Kind,
    /// The first line that `--version` prints.
    pub(crate) version: String,
}

impl Program {
    fn of(text: &str) -> Self {
        Self {
            kind: Kind::of(text),
            version: text.lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl Runc {
    /// Which program it is.
    ///
    /// # Errors
    /// [`RuncError`]; it does not even say its version.
    pub(crate) async fn program(&self) -> Result<Program, RuncError> {
        let output = self.run(&Call::Version).await?;
        Ok(Program::of(&String::from_utf8_lossy(&output)))
    }

    /// What a restore has to know of the mounts that the program itself has made to mask
    /// directories. From 1.24 on crun binds one empty directory on each. Its `checkpoint` calls that
    /// by its place below the default state directory, whichever is in use, and its `restore` by
    /// the place where it is (`register_masked_paths_mounts`, `get_shared_empty_directory_path`).
    pub(crate) fn masks(&self, kind: Kind) -> Vec<ExternalMount> {
        const EMPTY: &str = ".empty-directory";
        let mask = ExternalMount {
            key: Path::new(CRUN_ROOT).join(EMPTY),
            value: self.root.join(EMPTY),
        };
        let is_told = !kind.is_crun() || mask.key == mask.value || !is_one_word(&mask.value);
        if is_told { vec![] } else { vec![mask] }
    }

    /// Whether the program can have CRIU handle `flags`.
    ///
    /// # Errors
    /// [`KindError`].
    pub(crate) fn check(&self, kind: Kind, flags: &CriuFlags) -> Result<(), KindError> {
        let binary = &self.binary;
        let refused = |what, remedy: &str| {
            Err(KindError(Refusal {
                what,
                remedy: remedy.into(),
            }))
        };
        match kind {
            Kind::Crun { criu: false, .. } => refused(
                format!(
                    "{binary:?} was built without CRIU (its --version does not show +CRIU), so it \
                     cannot checkpoint or restore"
                ),
                "install a crun with CRIU, or create the container with runc",
            ),
            Kind::Crun { .. } if !flags.empty_namespaces.is_empty() => refused(
                format!(
                    "{binary:?} is a crun, which cannot leave out namespaces ({})",
                    flags.empty_namespaces.join(", ")
                ),
                "ask for no empty namespaces, or create the container with runc",
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_either_program() {
        assert_eq!(Kind::of("runc version 1.3.6+ds1\ncommit: x\n"), Kind::Runc);
        assert_eq!(Kind::of(""), Kind::Runc);
        let program = Program::of("crun version 1.21\ncommit: x\n+CRIU\n");
        assert!(program.kind.is_crun());
        assert_eq!(program.version, "crun version 1.21");
        let crun = |version: &str, features: &str| {
            Kind::of(&format!(
                "crun version {version}\ncommit: 1\nspec: 1.0.0\n+SYSTEMD {features} +YAJL\n"
            ))
        };
        let is = |criu, config| Kind::Crun { criu, config };
        assert_eq!(crun("1.21", "+CRIU"), is(true, false));
        assert_eq!(crun("1.25.1", "+CRIU"), is(true, false));
        assert_eq!(crun("1.26", "-CRIU"), is(false, true));
        assert_eq!(crun("1.29.1-52-gba38", "+CRIU"), is(true, true));
        assert_eq!(crun("2.0", ""), is(false, true));
    }
}
