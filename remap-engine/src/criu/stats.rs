//! CRIU's own figures of a dump and of a restore: `stats-dump` and `stats-restore` in its working
//! directory, which it writes when all else is done (CRIU, `write_stats`).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use prost::Message;
use serde::{Deserialize, Serialize};

/// The figures of a dump.
pub const DUMP: &str = "stats-dump";

/// Those of a restore.
pub const RESTORE: &str = "stats-restore";

/// The first two words of such a file (`IMG_SERVICE_MAGIC`, `STATS_MAGIC`).
const MAGICS: [u32; 2] = [0x5510_5940, 0x5709_3306];

/// The message has a few dozen bytes.
const MAX_BYTES: u64 = 4096;

/// The figures; those of one of the two (CRIU's `stats_entry`).
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
pub struct Stats {
    /// A dump.
    #[prost(message, optional, tag = "1")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpStats>,
    /// A restore.
    #[prost(message, optional, tag = "2")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStats>,
}

/// What a dump took (CRIU's `dump_stats_entry`). A later CRIU may count more.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct DumpStats {
    /// Microseconds until all tasks stood still.
    #[prost(uint32, tag = "1")]
    pub freezing_us: u32,
    /// Microseconds for which they did, as far as CRIU held them.
    #[prost(uint32, tag = "2")]
    pub frozen_us: u32,
    /// Microseconds in which memory was taken out of the tasks.
    #[prost(uint32, tag = "3")]
    pub memdump_us: u32,
    /// Microseconds in which it was written.
    #[prost(uint32, tag = "4")]
    pub memwrite_us: u32,
    /// Pages that were looked at.
    #[prost(uint64, tag = "5")]
    pub pages_scanned: u64,
    /// Pages that a former dump has.
    #[prost(uint64, tag = "6")]
    pub pages_skipped_parent: u64,
    /// Pages that were written.
    #[prost(uint64, tag = "7")]
    pub pages_written: u64,
    /// Pages that are left for later.
    #[prost(uint64, tag = "9")]
    pub pages_lazy: u64,
    /// Pages of shared memory that were written.
    #[prost(uint64, tag = "14")]
    pub shpages_written: u64,
}

/// What a restore took (CRIU's `restore_stats_entry`).
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreStats {
    /// Pages that were compared with those of a parent.
    #[prost(uint64, tag = "1")]
    pub pages_compared: u64,
    /// Pages that are shared with a parent.
    #[prost(uint64, tag = "2")]
    pub pages_skipped_cow: u64,
    /// Microseconds in which the tasks were made.
    #[prost(uint32, tag = "3")]
    pub forking_us: u32,
    /// Microseconds in which they got what they had.
    #[prost(uint32, tag = "4")]
    pub restore_us: u32,
    /// Pages that were read.
    #[prost(uint64, tag = "5")]
    pub pages_restored: u64,
}

impl Stats {
    /// Reads a file of figures.
    ///
    /// # Errors
    /// It is not there, or no such file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Self::of(&bytes).ok_or_else(|| {
            let no_stats = format!("{} has no figures of CRIU's", path.display());
            io::Error::new(io::ErrorKind::InvalidData, no_stats)
        })
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(word))
        };
        if [word(0)?, word(4)?] != MAGICS {
            return None;
        }
        let message = bytes.get(12..)?.get(..usize::try_from(word(8)?).ok()?)?;
        Self::decode(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(stats: &Stats) -> Vec<u8> {
        let message = stats.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap();
        let words = [MAGICS[0], MAGICS[1], length].map(u32::to_le_bytes);
        [words.as_flattened(), &message].concat()
    }

    #[test]
    fn figures_are_read_and_what_is_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(DUMP);
        let stats = Stats {
            dump: Some(DumpStats {
                frozen_us: 70_000,
                pages_written: 812,
                ..DumpStats::default()
            }),
            restore: None,
        };
        std::fs::write(&path, image(&stats)).unwrap();
        assert_eq!(Stats::read(&path).unwrap(), stats);
        for cut in 0..image(&stats).len() {
            std::fs::write(&path, &image(&stats)[..cut]).unwrap();
            let error = Stats::read(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{cut}");
        }
        let missing = Stats::read(&dir.path().join(RESTORE)).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
