//! Paths for programs that work elsewhere.

use std::path::Path;

use anyhow::{Context, Result};

/// The path from the root on, as text: messages have no other.
///
/// # Errors
/// It is no UTF-8, or the working directory is gone.
pub(crate) fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("{} is no UTF-8", path.display()))
}
