//! Recognising a message and taking the object from it, by a text with places in it.
//!
//! `Can't lookup mount={mount} for fd={fd} path={path}` is found anywhere in a line; each place
//! takes the bytes up to the text after it, the last one those up to the end. The places are
//! `{pid}`, `{fd}` and `{mount}` (numbers; anything else there and the line is not recognised),
//! `{path}`, `{}` for what is of no interest, `{what}` for a detail, and anything else for a
//! detail that needs that word before it.

/// What the places of a pattern held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: Option<u32>,
    pub(super) fd: Option<u32>,
    pub(super) mount: Option<u32>,
    pub(super) path: Option<Vec<u8>>,
    pub(super) what: Option<Vec<u8>>,
}

/// Longest piece that a place takes: PATH_MAX, see limits.h(0p).
const LONGEST: usize = 4096;

/// What `pattern` finds in `line`; `None` if the line is not one of these.
pub(super) fn take(pattern: &str, line: &[u8]) -> Option<Found> {
    let mut parts = pattern.split('{');
    let start = parts.next()?.as_bytes();
    let mut rest = after(line, start)?;
    let mut found = Found::default();
    for part in parts {
        let (place, text) = part.split_once('}')?;
        let length = if text.is_empty() {
            rest.len()
        } else {
            find(rest, text.as_bytes())?
        };
        let (value, behind) = rest.split_at_checked(length)?;
        let value = value.get(..LONGEST).unwrap_or(value);
        match place {
            "pid" => found.pid = Some(number(value)?),
            "fd" => found.fd = Some(number(value)?),
            "mount" => found.mount = Some(number(value)?),
            "path" => found.path = Some(value.to_vec()),
            "" => {}
            "what" => found.what = Some(value.trim_ascii().to_vec()),
            label => found.what = Some([label.as_bytes(), b" ", value.trim_ascii()].concat()),
        }
        rest = behind.get(text.len()..)?;
    }
    Some(found)
}

/// Where `text` first is in `line`.
pub(super) fn find(line: &[u8], text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    line.windows(text.len()).position(|window| window == text)
}

/// What follows the first `text` in `line`.
pub(super) fn after<'a>(line: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    line.get(find(line, text)? + text.len()..)
}

/// A decimal number.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}
