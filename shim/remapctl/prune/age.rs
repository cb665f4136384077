//! How old something is.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

/// A number with `s`, `m`, `h` or `d`.
///
/// # Errors
/// It is none.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "a number with s, m, h or d is needed, as in 30d";
    let unit = text.chars().next_back().ok_or(WRONG)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(WRONG),
    };
    let number = text.get(..text.len() - unit.len_utf8());
    let number: u64 = number.and_then(|text| text.parse().ok()).ok_or(WRONG)?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or("that is too long ago")
}

/// For how long a file was not written to. None if its time is that of the future.
pub(super) fn of(file: &Metadata) -> Duration {
    let written = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    SystemTime::now()
        .duration_since(written)
        .unwrap_or_default()
}

/// In short, for a reader.
pub(super) fn text(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_shown() {
        assert_eq!(parse("30d").map(text).as_deref(), Ok("30 d"));
        assert_eq!(parse("90m").map(text).as_deref(), Ok("90 min"));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for wrong in [
            "",
            "d",
            "1",
            "1w",
            "-1d",
            "1.5h",
            "1ä",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
