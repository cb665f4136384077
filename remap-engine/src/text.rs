//! File names as text: bytes that are not UTF-8, and backslashes, are written as `\xNN`.
//!
//! JSON strings hold Unicode only; file names are bytes. The escape is reversible, and a name
//! without backslashes that is valid UTF-8 stays as it is. Use it with
//! `#[serde(with = "crate::text")]` on `PathBuf` and `OsString` fields.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A path that is text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextPath(#[serde(with = "crate::text")] pub PathBuf);

/// The name as text.
#[must_use]
pub fn escape(name: &OsStr) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\x5c"));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The name behind an escaped text; `None` if a backslash is not followed by `x` and two
/// hexadecimal digits.
#[must_use]
pub fn unescape(text: &str) -> Option<OsString> {
    let mut parts = text.split('\\');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let hex = part.strip_prefix('x')?;
        let digits = hex.get(..2).filter(|digits| !digits.starts_with('+'))?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        out.extend_from_slice(hex.get(2..)?.as_bytes());
    }
    Some(OsString::from_vec(out))
}

/// Writes a name as escaped text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(name: impl AsRef<OsStr>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&escape(name.as_ref()))
}

/// Reads a name from escaped text.
///
/// # Errors
/// Those of the deserializer, or a malformed escape.
pub fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    unescape(&text)
        .map(T::from)
        .ok_or_else(|| D::Error::custom(format!("malformed escape in the name {text:?}")))
}

/// The same for names that may be absent.
pub mod option {
    use super::*;

    /// Writes a name as escaped text, or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        name: &Option<impl AsRef<OsStr>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match name {
            Some(name) => super::serialize(name, to),
            None => to.serialize_none(),
        }
    }

    /// Reads a name from escaped text, if there is one.
    ///
    /// # Errors
    /// Those of the deserializer, or a malformed escape.
    pub fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        unescape(&text)
            .map(|name| Some(T::from(name)))
            .ok_or_else(|| D::Error::custom(format!("malformed escape in the name {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(escape(OsStr::new("/dev/shm/ä b")), "/dev/shm/ä b");
        assert_eq!(escape(OsStr::from_bytes(b"a\xff\\b")), "a\\xff\\x5cb");
        assert_eq!(unescape("a\\q"), None);
        assert_eq!(unescape("a\\x+1"), None);
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in prop::collection::vec(any::<u8>(), 0..80)) {
            let name = OsString::from_vec(name);
            prop_assert_eq!(unescape(&escape(&name)), Some(name));
        }
    }
}
