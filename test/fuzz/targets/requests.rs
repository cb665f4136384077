//! Any bytes as what containerd, or whoever has access to the shim's socket, sends to the shim.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remap_fuzz::{scratch, split};
use remap_shim::fuzz;

/// The types of options that the shim knows.
const TYPES: [&str; 3] = [
    "containerd.runc.v1.Options",
    "containerd.runc.v1.CheckpointOptions",
    "containerd.linux.runc.CreateOptions",
];

// The first byte says what it is.
fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 8 {
        0 => fuzz::bootstrap(data),
        1 => fuzz::create(data),
        2 => fuzz::requests(data),
        3 => {
            let text = String::from_utf8_lossy(data);
            let mut lines = text.splitn(3, '\n');
            let mut line = || lines.next().unwrap_or_default();
            fuzz::stdio(line(), line(), line());
        }
        4 => {
            let (type_url, value) = split(data);
            fuzz::options(&String::from_utf8_lossy(type_url), value, scratch());
        }
        known => {
            let type_url = TYPES.get(usize::from(known - 5)).expect("three are left");
            fuzz::options(type_url, data, scratch());
        }
    }
});
