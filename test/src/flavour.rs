//! The combinations of containerd, runc and CRIU on which everything is tested.

use std::fmt;

use crate::go::GoProgram;

/// A Debian suite, for the versions of the programs in it, or one with a newer containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Debian 13.
    Trixie,
    /// What becomes Debian 14.
    Forky,
    /// The same with containerd 2.3. Only scenarios that name it run on it.
    Forky23,
}

/// The versions that a flavour is expected to have, as `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of containerd.
    pub containerd: &'static str,
    /// Of runc.
    pub runc: &'static str,
    /// Of CRIU.
    pub criu: &'static str,
}

impl Flavour {
    /// All of them, the oldest first.
    pub const ALL: [Self; 3] = [Self::Trixie, Self::Forky, Self::Forky23];

    /// Those that are a suite as it is: everything is tested on them.
    pub const SUITES: [Self; 2] = [Self::Trixie, Self::Forky];

    /// The name of the Debian suite.
    #[must_use]
    pub fn suite(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Forky | Self::Forky23 => "forky",
        }
    }

    /// What a host of it has instead of the suite's own programs of the same names.
    #[must_use]
    pub(crate) fn programs(self) -> &'static [GoProgram] {
        match self {
            Self::Trixie | Self::Forky => &[],
            Self::Forky23 => &[GoProgram::Containerd23, GoProgram::Ctr23, GoProgram::Shim23],
        }
    }

    /// Its stock shim, in a host.
    #[must_use]
    pub fn stock_shim(self) -> &'static str {
        match self {
            Self::Trixie | Self::Forky => "/usr/bin/containerd-shim-runc-v2",
            Self::Forky23 => "/usr/local/bin/containerd-shim-runc-v2",
        }
    }

    /// What it has. For display: a test asks the program itself.
    #[must_use]
    pub fn versions(self) -> Versions {
        match self {
            Self::Trixie => Versions {
                containerd: "1.7",
                runc: "1.1",
                criu: "4.1",
            },
            Self::Forky => Versions {
                containerd: "2.1",
                runc: "1.3",
                criu: "4.2",
            },
            Self::Forky23 => Versions {
                containerd: "2.3",
                ..Self::Forky.versions()
            },
        }
    }

    /// Options of apt without which the suite cannot be installed from.
    pub(crate) fn apt_options(self) -> &'static [&'static str] {
        match self {
            Self::Trixie => &[],
            // Unreleased: its Release file expires between two updates of a mirror.
            Self::Forky | Self::Forky23 => &["Acquire::Check-Valid-Until \"false\""],
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trixie | Self::Forky => self.suite(),
            Self::Forky23 => "forky-2.3",
        })
    }
}
