//! Which CRIU it is.

use std::fmt;
use std::str::FromStr;

/// A version as `criu --version` prints it: `Version: 4.1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CriuVersion {
    /// First number.
    pub major: u32,
    /// Second number; 0 if there is none.
    pub minor: u32,
    /// Third number; 0 if there is none.
    pub sublevel: u32,
}

impl CriuVersion {
    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self {
            major,
            minor,
            sublevel: 0,
        }
    }
}

/// The text is no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of CRIU")]
pub struct VersionError(String);

impl FromStr for CriuVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().trim_start_matches("Version:").trim();
        let mut parts = number.split('.');
        let mut next = || {
            let part = parts.next()?;
            // Development versions have a suffix: `4.2-12-gabcdef`.
            let digits = part.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        next()
            .map(|major| Self {
                major,
                minor: next().unwrap_or(0),
                sublevel: next().unwrap_or(0),
            })
            .ok_or_else(|| VersionError(text.to_owned()))
    }
}

impl fmt::Display for CriuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.sublevel != 0 {
            write!(f, ".{}", self.sublevel)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let read = |text: &str| text.parse::<CriuVersion>().unwrap();
        assert_eq!(read("Version: 4.1.1").to_string(), "4.1.1");
        assert_eq!(read("4.2"), CriuVersion::new(4, 2));
        assert!(read("Version: 4.1.1") < CriuVersion::new(4, 2));
        assert!(read("4.10-rc1") > CriuVersion::new(4, 2));
        assert!("GitID: x".parse::<CriuVersion>().is_err());
    }
}
