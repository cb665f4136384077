//! The combinations of containerd, runc and CRIU on which everything is tested.

use std::fmt;

/// A Debian suite, for the versions of the programs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Debian 13.
    Trixie,
    /// What becomes Debian 14.
    Forky,
}

/// The versions that a suite is expected to hold, as `major.minor`.
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
    pub const ALL: [Self; 2] = [Self::Trixie, Self::Forky];

    /// The name of the Debian suite.
    #[must_use]
    pub fn suite(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// What the suite holds. For display: a test asks the program itself.
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
        }
    }

    /// Options of apt without which the suite cannot be installed from.
    pub(crate) fn apt_options(self) -> &'static [&'static str] {
        match self {
            Self::Trixie => &[],
            // Unreleased: its Release file expires between two updates of a mirror.
            Self::Forky => &["Acquire::Check-Valid-Until \"false\""],
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suite())
    }
}
