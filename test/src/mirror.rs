//! The Debian mirror to build trees from: the one that this machine's apt uses.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result};

/// The environment variable that names the mirror where apt's configuration does
/// not help, as on a machine that is not a Debian.
const MIRROR_VARIABLE: &str = "REMAP_TEST_MIRROR";

const APT: &str = "/etc/apt";

/// The mirror's address.
///
/// # Errors
/// There is none in apt's configuration, nor in the environment.
pub(crate) fn find() -> Result<String> {
    if let Ok(mirror) = env::var(MIRROR_VARIABLE) {
        return Ok(mirror);
    }
    let mut texts = Vec::new();
    if let Ok(text) = fs::read_to_string(Path::new(APT).join("sources.list")) {
        texts.push((text, false));
    }
    if let Ok(entries) = fs::read_dir(Path::new(APT).join("sources.list.d")) {
        for path in entries.flatten().map(|entry| entry.path()) {
            let deb822 = path
                .extension()
                .is_some_and(|extension| extension == "sources");
            let one_line = path
                .extension()
                .is_some_and(|extension| extension == "list");
            if deb822 || one_line {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                texts.push((text, deb822));
            }
        }
    }
    texts
        .iter()
        .find_map(|(text, deb822)| {
            if *deb822 {
                in_deb822(text)
            } else {
                in_one_line(text)
            }
        })
        .map(str::to_owned)
        .with_context(|| {
            format!("no Debian mirror in {APT}; name one in the variable {MIRROR_VARIABLE}")
        })
}

/// The first usable `URIs:` entry of a deb822 file; see sources.list(5).
fn in_deb822(text: &str) -> Option<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("URIs:"))
        .flat_map(str::split_whitespace)
        .find(|uri| is_archive(uri))
}

/// The first usable address of the one-line format; see sources.list(5).
fn in_one_line(text: &str) -> Option<&str> {
    text.lines()
        .filter(|line| line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .find(|word| is_archive(word))
}

/// Whether the address is of a Debian archive that has whole suites.
fn is_archive(uri: &str) -> bool {
    uri.contains("://") && uri.trim_end_matches('/').ends_with("/debian")
}

#[cfg(test)]
mod tests {
    use super::{in_deb822, in_one_line};

    #[test]
    fn takes_the_archive_and_not_the_security_updates() {
        let text = "Types: deb\nURIs: http://m.test/debian-security\nSuites: x-security\n\n\
                    Types: deb\n# URIs: http://old.test/debian\nURIs: http://m.test/debian\n";
        assert_eq!(in_deb822(text), Some("http://m.test/debian"));
    }

    #[test]
    fn reads_the_one_line_format() {
        let text = "# deb http://old.test/debian x main\n\
                    deb [signed-by=/k.gpg] https://m.test/debian/ trixie main\n";
        assert_eq!(in_one_line(text), Some("https://m.test/debian/"));
    }

    #[test]
    fn finds_nothing_in_another_distribution() {
        assert_eq!(in_deb822("URIs: http://m.test/ubuntu\n"), None);
        assert_eq!(in_one_line("deb http://m.test/ubuntu noble main\n"), None);
    }
}
