//! The ids of a user namespace (user_namespaces(7), "User and group ID mappings").

use super::{Process, ProcessError};

/// How ids outside a user namespace are called inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

impl IdMap {
    /// Reads `/proc/PID/uid_map` or `gid_map`; what is no line of one is left out.
    fn parse(text: &[u8]) -> Self {
        let range = |line: &[u8]| {
            let line = std::str::from_utf8(line).ok()?;
            let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().ok());
            let mut number = || numbers.next().flatten();
            Some(Range {
                inside: number()?,
                outside: number()?,
                count: number()?,
            })
        };
        let lines = text.split(|byte| *byte == b'\n');
        Self(lines.filter_map(range).collect())
    }

    /// How the id is called inside; `None` if it has no name there.
    #[must_use]
    pub fn inside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.outside)?;
            let inside = range.inside.checked_add(offset)?;
            (offset < range.count).then_some(inside)
        })
    }
}

impl Process {
    /// The user and the group ids of its user namespace.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn id_maps(&self) -> Result<(IdMap, IdMap), ProcessError> {
        let map = |name| Ok(IdMap::parse(&self.read(name)?));
        Ok((map("uid_map")?, map("gid_map")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_named_as_inside() {
        let whole = IdMap::parse(b"         0          0 4294967295\n");
        assert_eq!(whole.inside(1000), Some(1000));
        let mapped = IdMap::parse(b"0 100000 1000\n1000 500 1\nnonsense\n");
        assert_eq!(mapped.inside(100_007), Some(7));
        assert_eq!(mapped.inside(500), Some(1000));
        assert_eq!(mapped.inside(0), None);
        assert_eq!(mapped.inside(101_000), None);
        assert_eq!(IdMap::parse(b"5 4294967290 9").inside(u32::MAX), Some(10));
    }
}
