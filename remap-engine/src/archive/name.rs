//! Names of files in an archive.

/// Longest name, in bytes: with a directory in front it fits into the header of a tar.
const LONGEST: usize = 80;

/// Whether a file of the plain form can have this name. CRIU, the runtimes and this project use
/// nothing but letters, digits and a few signs; what is not plain has no business in an archive.
pub(super) fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"/\\".contains(&byte);
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_names_of_files_are_plain() {
        for name in ["core-1.img", "remap-mount-0.tar", "a b"] {
            assert!(is_plain(name), "{name}");
        }
        let long = "x".repeat(81);
        for name in [
            "", ".", "..", ".x", "a/b", "/a", "a\\b", "a\0", "ä", "a\n", &long,
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
