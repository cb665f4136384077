//! A part of a configuration file that this program has appended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::file;

const BEGIN: &str = "# BEGIN remapctl install; `remapctl uninstall` removes this part\n";
const END: &str = "# END remapctl install\n";

/// The mode of a file that is made for it.
const MODE: u32 = 0o644;

/// Whether `file` has exactly this part.
///
/// # Errors
/// It cannot be read.
pub(super) fn is_in(path: &Path, text: &str) -> Result<bool> {
    let contents = read(path)?.unwrap_or_default();
    Ok(find(&contents).is_some_and(|(_, inner, _)| inner == text))
}

/// Appends it, or replaces what there is of it.
///
/// # Errors
/// The file cannot be read or written; it is as before.
pub(super) fn put(path: &Path, text: &str) -> Result<()> {
    let before = read(path)?.unwrap_or_default();
    let (head, tail) = match find(&before) {
        Some((head, _, tail)) => (head, tail),
        None => (&*before, ""),
    };
    // A last line without its end gets one, and loses it again.
    let gap = if head.is_empty() || head.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    write(path, &format!("{head}{gap}{BEGIN}{text}{END}{tail}"), MODE)
}

/// Removes it, and the file if it was made for it. `before` is what the file was, for the end of its
/// last line.
///
/// # Errors
/// The file cannot be read or written, or its part is not whole any more.
pub(super) fn take(path: &Path, before: Option<&[u8]>) -> Result<()> {
    let Some(contents) = read(path)? else {
        return Ok(());
    };
    if find(&contents).is_none() {
        if contents.contains(BEGIN.trim_end()) {
            bail!(
                "{} has the line {:?} but not {:?}; remove that part by hand",
                path.display(),
                BEGIN.trim_end(),
                END.trim_end()
            );
        }
        return Ok(());
    }
    let mut rest = without(&contents);
    if before.is_some_and(|before| {
        !before.ends_with(b"\n") && rest.as_bytes().strip_suffix(b"\n") == Some(before)
    }) {
        rest.pop();
    }
    if rest.is_empty() && before.is_none() {
        return file::remove(path).with_context(|| format!("cannot remove {}", path.display()));
    }
    write(path, &rest, MODE)
}

/// What else is in a file.
pub(super) fn without(contents: &str) -> String {
    find(contents).map_or_else(
        || contents.to_owned(),
        |(head, _, tail)| format!("{head}{tail}"),
    )
}

fn find(contents: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = contents.split_once(BEGIN)?;
    let (inner, tail) = rest.split_once(END)?;
    Some((head, inner, tail))
}

fn read(path: &Path) -> Result<Option<String>> {
    let contents = file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = contents.map(String::from_utf8).transpose();
    text.with_context(|| format!("{} is no text", path.display()))
}

/// Keeps the mode that the file has.
fn write(path: &Path, contents: &str, mode: u32) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let old = fs::metadata(path).map(|file| file.permissions().mode() & 0o7777);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(context)?;
    }
    // What a link leads to is written, and the link stays.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    file::replace(&path, contents.as_bytes(), old.unwrap_or(mode)).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_and_goes_without_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        for before in [None, Some(""), Some("version = 2\n"), Some("version = 2")] {
            let _ = fs::remove_file(&path);
            if let Some(before) = before {
                fs::write(&path, before).unwrap();
                fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
            }
            put(&path, "[x]\n").unwrap();
            assert!(is_in(&path, "[x]\n").unwrap() && !is_in(&path, "[y]\n").unwrap());
            put(&path, "[y]\n").unwrap();
            let contents = fs::read_to_string(&path).unwrap();
            assert!(contents.matches(BEGIN).count() == 1 && contents.contains("[y]\n"));
            take(&path, before.map(str::as_bytes)).unwrap();
            let after = fs::read_to_string(&path).ok();
            assert_eq!(after.as_deref(), before);
            if before.is_some() {
                assert_eq!(
                    fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                    0o640
                );
            }
        }
    }

    #[test]
    fn what_others_have_changed_since_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, "a").unwrap();
        put(&path, "[x]\n").unwrap();
        let edited = fs::read_to_string(&path).unwrap().replacen('a', "b", 1) + "c\n";
        fs::write(&path, &edited).unwrap();
        take(&path, Some(b"a")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\nc\n");
        fs::write(&path, edited.replace(END, "")).unwrap();
        assert!(
            take(&path, Some(b"a"))
                .unwrap_err()
                .to_string()
                .contains("by hand")
        );
    }
}
