//! Any text as a process's mountinfo, and the classes of its mounts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remap_engine::mountinfo;
use remap_engine::mountmap::{HostMounts, MountMap};
use remap_fuzz::{SomeView, bundle, split};

fuzz_target!(|data: &[u8]| {
    let (config, text) = split(data);
    let Ok(mounts) = mountinfo::parse(text) else {
        return;
    };
    // Nothing is lost.
    let lines = text.split(|byte| *byte == b'\n');
    assert_eq!(lines.filter(|line| !line.is_empty()).count(), mounts.len());
    if let Ok(bundle) = bundle(config) {
        let host = HostMounts::new(mounts.clone());
        let map = MountMap::build(&bundle, &mounts, &host, &SomeView);
        assert_eq!(map.mounts.len(), mounts.len());
    }
});
