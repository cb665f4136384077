//! The processor, as far as tasks may have adapted to it.

use serde::{Deserialize, Serialize};

use super::error::ManifestError;

/// Where the kernel tells about the processor (proc_cpuinfo(5)).
const CPUINFO: &str = "/proc/cpuinfo";

/// Model and features of a processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// The model's name, empty where the kernel shows none.
    #[serde(default)]
    pub model: String,
    /// Feature flags, sorted.
    #[serde(default)]
    pub flags: Vec<String>,
}

impl Cpu {
    /// Reads what this host has.
    ///
    /// # Errors
    /// When `/proc/cpuinfo` cannot be read.
    pub fn of_this_host() -> Result<Self, ManifestError> {
        let text = std::fs::read(CPUINFO).map_err(ManifestError::io("read", CPUINFO))?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// Flags that `other` has and this processor lacks: what tasks from `other`
    /// may use and would not find here.
    #[must_use]
    pub fn lacks<'a>(&self, other: &'a Self) -> Vec<&'a str> {
        other
            .flags
            .iter()
            .filter(|flag| self.flags.binary_search(flag).is_err())
            .map(String::as_str)
            .collect()
    }

    /// Takes the first processor: x86 says `flags`, Arm `Features`, s390 `features`.
    fn parse(text: &str) -> Self {
        let field = |wanted: &[&str]| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| wanted.contains(&key.trim()))
                .map(|(_, value)| value.trim())
                .unwrap_or_default()
        };
        let mut flags: Vec<_> = field(&["flags", "Features", "features"])
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        flags.sort();
        flags.dedup();
        Self {
            model: field(&["model name", "CPU part"]).to_owned(),
            flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_sorted_and_compared() {
        let x86 = Cpu::parse(
            "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A CPU @ 2 GHz\n\
             flags\t\t: sse2 avx fpu avx\n\nprocessor\t: 1\nflags\t: none\n",
        );
        assert_eq!(x86.flags, ["avx", "fpu", "sse2"]);
        let arm = Cpu::parse("CPU part\t: 0xd0c\nFeatures\t: fp asimd\n");
        assert_eq!(arm.model, "0xd0c");
        assert_eq!(arm.flags, ["asimd", "fp"]);
        assert_eq!(arm.lacks(&x86), ["avx", "fpu", "sse2"]);
        assert!(x86.lacks(&x86).is_empty());
        assert!(!Cpu::of_this_host().unwrap().flags.is_empty());
    }
}
