//! Any text as a process's maps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remap_engine::process::{mapped_files, mappings};

fuzz_target!(|data: &[u8]| {
    let all = mappings(data);
    assert!(all.len() <= data.split(|byte| *byte == b'\n').count());
    let files = mapped_files(data);
    assert!(files.iter().all(|one| one.inode != 0 && all.contains(one)));
    // A name is what the text has, byte for byte.
    for one in all {
        assert!(one.name.is_empty() || data.windows(one.name.len()).any(|part| part == one.name));
    }
});
