//! Processes into which CRIU cannot put its own code.

use super::{Found, Held, Kind};
use crate::process::ProcessError;

/// Shorter mappings CRIU passes over (`PARASITE_START_AREA_MIN`).
const SHORTEST_BYTES: u64 = 4096;

/// CRIU writes the first instructions of its parasite into the lowest mapping with code
/// (`get_exec_start`). By ptrace(2) it may write where the process itself may not, but only to a copy
/// (`check_vma_flags` of mm/gup.c): not to memory that is shared.
pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    for one in held.living() {
        let maps = one.process.read("maps")?;
        if let Some(mapping) = lowest_code(&maps).filter(|mapping| mapping.is_fixed()) {
            let about = String::from_utf8_lossy(mapping.line).into_owned();
            found.add(Kind::SharedCode, one.process, None, about);
        }
    }
    Ok(())
}

/// A line of `/proc/PID/maps` (proc_pid_maps(5)).
struct Code<'m> {
    permissions: &'m [u8],
    line: &'m [u8],
}

impl Code<'_> {
    /// Whether nobody can write there.
    fn is_fixed(&self) -> bool {
        self.permissions.contains(&b's') && !self.permissions.contains(&b'w')
    }
}

fn lowest_code(maps: &[u8]) -> Option<Code<'_>> {
    let mut lines = maps.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (range, permissions) = (fields.next()?, fields.next()?);
        let (start, end) = std::str::from_utf8(range).ok()?.split_once('-')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let bytes = number(end)?.checked_sub(number(start)?)?;
        let is_code = permissions.contains(&b'x') && bytes >= SHORTEST_BYTES;
        is_code.then_some(Code { permissions, line })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_lowest_code_counts() {
        let fixed = |maps: &str| lowest_code(maps.as_bytes()).map(|code| code.is_fixed());
        let shared = "555b29c00000-555b2dc00000 r-xs 08000000 00:01 170047 /dev/zero (deleted)\n";
        let own = "555b2de73000-555b2e1d3000 r-xp 000e3000 00:4d 10281546 /usr/sbin/php-fpm8.4\n";
        let data = "1000-9000 rw-s 00000000 00:01 7 /dev/zero (deleted)\n";
        assert_eq!(fixed(&[data, shared, own].concat()), Some(true));
        assert_eq!(fixed(&[data, own, shared].concat()), Some(false));
        assert_eq!(fixed("1000-2000 rwxs 0 00:01 7 /x\n"), Some(false));
        assert_eq!(
            fixed(&["1000-1800 r-xs 0 00:01 7 /x\n", own].concat()),
            Some(false)
        );
        assert_eq!(fixed(data), None);
    }

    proptest! {
        #[test]
        fn odd_bytes_do_no_harm(maps in prop::collection::vec(any::<u8>(), 0..200)) {
            lowest_code(&maps);
        }
    }
}
