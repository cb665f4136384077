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
    entries(log)
        .into_iter()
        .rfind(|entry| matches!(entry.level.as_str(), "error" | "fatal" | "panic"))
        .map(|entry| entry.msg.trim().to_owned())
        .filter(|message| !message.is_empty())
}

/// All entries: runc has each on a line of its own, crun may have one on several. A line that is no
/// JSON is passed over.
fn entries(mut log: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let mut stream = serde_json::Deserializer::from_slice(log).into_iter::<Entry>();
        entries.extend(stream.by_ref().map_while(Result::ok));
        let rest = log.get(stream.byte_offset()..).unwrap_or_default();
        let line = rest.iter().position(|byte| *byte == b'\n');
        match line.and_then(|end| rest.get(end + 1..)) {
            Some(next) => log = next,
            None => return entries,
        }
    }
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
{"level":"error"
{"level":"error","msg":5}
"#;
        assert_eq!(last_error(log).as_deref(), Some("second"));
        let pretty =
            b"{\n  \"msg\": \"a `\\/b`\",\n  \"level\": \"error\",\n  \"time\": \"t\"\n}\n";
        assert_eq!(last_error(pretty).as_deref(), Some("a `/b`"));
        assert_eq!(last_error(b""), None);
        assert_eq!(last_error(&[0xff, b'\n', b'{']), None);
    }
}
