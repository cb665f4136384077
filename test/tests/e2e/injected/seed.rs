//! Where an injection's chance comes from, so that it can be had again.

use std::env;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::sync::OnceLock;

use anyhow::{Context, Error, Result};
use remap_test::Flavour;

/// `MASTER` repeats a run, `MASTER.INDEX` (as failures name it) one injection.
pub(crate) const VARIABLE: &str = "REMAP_TEST_SEED";

/// The master of a default run: a failure there is not to depend on whose turn it was. (The moments
/// still vary with the machine.) Full runs look further.
const DEFAULT_MASTER: u64 = 0xd272_9f77_abad_f5d0;

/// The seed of one injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed {
    master: u64,
    index: u32,
}

impl Seed {
    /// The seeds of a run on `flavour`: `count` of them, or the one that [`VARIABLE`]
    /// names.
    pub(super) fn series(flavour: Flavour, count: u32) -> Result<Vec<Self>> {
        let wish = env::var(VARIABLE).ok();
        if let Some(one) = wish.as_deref().filter(|wish| wish.contains('.')) {
            return Ok(vec![one.parse()?]);
        }
        let master = match wish {
            Some(wish) => parse_master(&wish)?,
            None if is_full() => fresh_master(),
            None => DEFAULT_MASTER,
        };
        // The flavours share the numbers among them.
        let flavours = u32::try_from(Flavour::SUITES.len())?;
        let position = Flavour::SUITES.iter().position(|one| *one == flavour);
        let first = u32::try_from(position.context("an unknown flavour")?)?;
        Ok((0..count)
            .map(|number| Self {
                master,
                index: number * flavours + first,
            })
            .collect())
    }

    /// Its dice.
    pub(super) fn dice(self) -> Dice {
        Dice::new(self.master ^ (u64::from(self.index) << 32))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.master, self.index)
    }
}

impl FromStr for Seed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let what = || format!("{VARIABLE} is {text:?}, which is no MASTER.INDEX");
        let (master, index) = text.split_once('.').with_context(what)?;
        Ok(Self {
            master: parse_master(master)?,
            index: index.parse().with_context(what)?,
        })
    }
}

fn parse_master(text: &str) -> Result<u64> {
    u64::from_str_radix(text, 16).with_context(|| format!("{text:?} is no hexadecimal number"))
}

/// Whether this is a full run.
fn is_full() -> bool {
    env::var_os("REMAP_TEST_FULL").is_some_and(|value| value == "1")
}

/// One for the whole run, different each time.
fn fresh_master() -> u64 {
    static MASTER: OnceLock<u64> = OnceLock::new();
    *MASTER.get_or_init(|| RandomState::new().build_hasher().finish())
}

/// Numbers that look random (Sebastiano Vigna's `SplitMix64`).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Those of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        // Neighbours are not to begin alike.
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in `percent` of all cases.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `all`; name one twice and it comes twice as often.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let index = self.below(all.len() as u64);
        all[usize::try_from(index).unwrap_or_default()]
    }
}
