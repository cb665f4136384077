//! What fuzz targets share.

pub mod json;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use remap_engine::bundle::{Bundle, BundleError};
use remap_engine::mountinfo::MountEntry;

/// A directory of this process alone, empty at first: below that which the variable
/// `REMAP_FUZZ_SCRATCH` names, or `/tmp`. It stays when the process ends: `run` removes it.
pub fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let parent = std::env::var_os("REMAP_FUZZ_SCRATCH").unwrap_or("/tmp".into());
        let dir = Path::new(&parent).join(format!("remap-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a scratch directory");
        dir
    })
}

/// Splits the input in two, by a length in its first two bytes.
pub fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return (data, &[]);
    };
    rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()))
}

/// A view of files in which answers depend on the length of a path.
pub struct SomeView;

impl remap_engine::mountmap::View for SomeView {
    fn mount_at(&self, path: &Path) -> Option<u64> {
        Some(path.as_os_str().len() as u64 % 8)
    }

    fn is_directory(&self, entry: &MountEntry, source: &Path) -> bool {
        (entry.mount_point.as_os_str().len() + source.as_os_str().len()) % 3 != 0
    }
}

/// The bundle with this `config.json`.
///
/// # Errors
/// It is none.
pub fn bundle(config: &[u8]) -> Result<Bundle, BundleError> {
    let dir = scratch();
    std::fs::write(dir.join("config.json"), config).expect("a file in the scratch directory");
    Bundle::load(dir)
}
