//! Any bytes as what runc prints and logs, and as the files of a bundle.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use remap_fuzz::scratch;
use remap_shim::fuzz;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    remap_fuzz::json::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    fuzz::runtime(data, scratch());
    fuzz::bundle(data, scratch());
});
