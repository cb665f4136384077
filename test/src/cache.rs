//! Where trees and running hosts are kept, outside the checkout.

use std::env;
use std::path::PathBuf;

/// The environment variable that moves the cache, say to a larger disk. The
/// directory must not be on an overlay file system: hosts are overlays of it.
pub const CACHE_VARIABLE: &str = "REMAP_TEST_CACHE";

const DEFAULT_CACHE: &str = "/var/cache/remap-test";

/// The directory of everything that is kept between runs.
#[must_use]
pub fn dir() -> PathBuf {
    env::var_os(CACHE_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_CACHE), PathBuf::from)
}
