//! What shall come of a workload.

use std::fmt;

use remap_test::Flavour;

/// With our shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It moves there and back, and is what it was.
    Works,
    /// The checkpoint is refused, with this in its message, and the container goes on as it was.
    Refused(&'static str),
}

/// With the stock shim, on the way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stock {
    /// It is what it was.
    Works,
    /// The checkpoint fails.
    NoDump,
    /// The checkpoint is taken, and cannot be restored.
    NoRestore,
    /// It is restored, and is not what it was.
    Differs,
}

/// All of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation {
    pub(super) trixie: Outcome,
    pub(super) forky: Outcome,
    pub(super) stock_trixie: Stock,
    pub(super) stock_forky: Stock,
}

impl Expectation {
    /// With any shim.
    pub(super) const WORKS: Self = Self {
        trixie: Outcome::Works,
        forky: Outcome::Works,
        stock_trixie: Stock::Works,
        stock_forky: Stock::Works,
    };

    /// With our shim.
    pub(super) fn ours(&self, flavour: Flavour) -> Outcome {
        match flavour {
            Flavour::Trixie => self.trixie,
            Flavour::Forky | Flavour::Forky23 => self.forky,
        }
    }

    /// With the stock shim.
    pub(super) fn stock(&self, flavour: Flavour) -> Stock {
        match flavour {
            Flavour::Trixie => self.stock_trixie,
            Flavour::Forky | Flavour::Forky23 => self.stock_forky,
        }
    }
}

impl fmt::Display for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "works",
            Self::NoDump => "no checkpoint",
            Self::NoRestore => "no restore",
            Self::Differs => "differs",
        })
    }
}
