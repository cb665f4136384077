//! runc's own log (`--log FILE --log-format json`), the only place where it says why it failed:
//! the standard error of `create`, `exec` and `restore` belongs to the container.

use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    level: String,
    msg: String,
}

/// The last message of level error or worse; `None` when there is none.
pub(crate) fn last_error(log: &[u8]) -> Option<String> {
    log.split(|byte| *byte == b'\n')
        .rev()
        .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
        .find(|entry| matches!(entry.level.as_str(), "error" | "fatal" | "panic"))
        .map(|entry| entry.msg.trim().to_owned())
        .filter(|message| !message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts() {
        let log = br#"{"level":"warning","msg":"w","time":"t"}
{"level":"error","msg":"first","time":"t"}
{"level":"error","msg":"second \n","time":"t"}
{"level":"info","msg":"later","time":"t"}
not json
"#;
        assert_eq!(last_error(log).as_deref(), Some("second"));
        assert_eq!(last_error(b""), None);
        assert_eq!(last_error(&[0xff, b'\n', b'{']), None);
    }
}
