//! Any text as `remap-manifest.json`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use remap_engine::manifest::{Damage, FILE_NAME, Manifest, ManifestError};
use remap_fuzz::scratch;

/// What is in the file `a` of the directory.
const CONTENTS: &[u8] = b"contents";

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    remap_fuzz::json::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let parent = scratch();
    let dir = parent.join("images");
    std::fs::create_dir_all(&dir).expect("a directory in the scratch directory");
    std::fs::write(dir.join("a"), CONTENTS).expect("a file in the scratch directory");
    std::fs::write(parent.join("outside"), CONTENTS).expect("a file in the scratch directory");
    std::fs::write(dir.join(FILE_NAME), data).expect("a file in the scratch directory");
    let Ok(Some(manifest)) = Manifest::read(&dir) else {
        return;
    };
    // Whatever is listed, nothing but a file of the directory has a length.
    match manifest.verify(&dir) {
        Ok(()) => assert!(manifest.files.keys().all(|name| is_here(name))),
        Err(ManifestError::Damaged { files, .. }) => {
            for file in files.0.iter().filter(|file| !is_here(&file.name)) {
                let is_absent = matches!(file.damage, Damage::Missing | Damage::Type);
                assert!(is_absent, "{file:?}");
            }
        }
        Err(_) => {}
    }
    let text = serde_json::to_vec(&manifest).expect("a manifest has a JSON form");
    let again: Manifest = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, manifest);
});

/// Whether it is a file of the directory, by its escaped name.
fn is_here(name: &str) -> bool {
    let name = remap_engine::text::unescape(name);
    name.is_some_and(|name| name == "a" || name == FILE_NAME)
}
