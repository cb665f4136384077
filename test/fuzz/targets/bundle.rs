//! Any text as a container's OCI configuration.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use remap_fuzz::bundle;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    remap_fuzz::json::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(bundle) = bundle(data) else {
        return;
    };
    let _ = bundle.user_criu_config();
    assert!(!bundle.is_adopted());
    for mount in &bundle.mounts {
        let source = bundle.host_path(&mount.destination);
        // Where the last mount is a bind, the container sees its source.
        if let Some(bind) = bundle.bind_at(&mount.destination) {
            assert_eq!(source, bind.bind_source);
        }
        let _ = bundle.host_path(&mount.destination.join("below"));
    }
    let _ = bundle.host_path(Path::new("/"));
});
