//! Any bytes as `files.img` and `remap-fpath.img`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remap_engine::criu::files;
use remap_fuzz::{scratch, split};

fuzz_target!(|data: &[u8]| {
    let (first, second) = split(data);
    let dir = scratch();
    std::fs::write(dir.join("files.img"), first).expect("a file in the scratch directory");
    let remaps = dir.join("remap-fpath.img");
    if second.is_empty() {
        let _ = std::fs::remove_file(remaps);
    } else {
        std::fs::write(remaps, second).expect("a file in the scratch directory");
    }
    if let Ok(files) = files::read(dir) {
        // An entry has a length and the two required fields at least.
        assert!(files.len() <= first.len() / 8);
        assert!(
            files
                .iter()
                .all(|file| file.path.as_os_str().len() <= first.len())
        );
    }
});
