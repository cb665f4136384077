//! Orders to the agent in a machine, and its answers: see `agent.py`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::wait;

/// QEMU makes its socket within this time.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// How a command ended, and what it said.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// The exit code, or minus the signal.
    pub(super) status: i32,
    /// Whether it was killed because its time was up.
    pub(super) killed: bool,
}

/// The way to the agent.
#[derive(Debug)]
pub(super) struct Channel {
    stream: BufReader<UnixStream>,
    /// What commands say goes there as well, as it comes.
    log: File,
}

impl Channel {
    /// Waits for the socket `path`, and for the agent behind it to be ready.
    pub(super) fn open(path: &Path, log: File, limit: Duration) -> Result<Self> {
        let mut stream = None;
        wait::until(CONNECT_LIMIT, || {
            stream = UnixStream::connect(path).ok();
            Ok(stream.is_some())
        })?;
        let stream = stream.context("QEMU does not run")?;
        let mut channel = Self {
            stream: BufReader::new(stream),
            log,
        };
        let first = channel.receive(Instant::now() + limit)?;
        if first != json!({ "ready": true }) {
            bail!("the agent is not ready, but says {first}");
        }
        Ok(channel)
    }

    /// Has a command run. The agent kills it after `limit`; if nothing comes from the agent for
    /// `grace` more, the machine is lost. `hear` is given what the command writes, as it comes.
    pub(super) fn run(
        &mut self,
        args: &[&str],
        env: &Value,
        (limit, grace): (Duration, Duration),
        hear: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer> {
        let order = json!({ "args": args, "env": env, "limit": limit.as_secs() });
        let order = format!("{order}\n");
        let stream = self.stream.get_mut();
        stream.write_all(order.as_bytes()).context("no order")?;
        let end = Instant::now() + limit + grace;
        let mut answer = Answer::default();
        loop {
            let part = self.receive(end)?;
            let known = (answer.stdout.len(), answer.stderr.len());
            let last = answer.take(&part)?;
            for (text, known) in [(&answer.stdout, known.0), (&answer.stderr, known.1)] {
                let new = text.get(known..).unwrap_or_default();
                self.log.write_all(new).context("no log")?;
                hear(new);
            }
            if last {
                return Ok(answer);
            }
        }
    }

    fn receive(&mut self, end: Instant) -> Result<Value> {
        let left = end.saturating_duration_since(Instant::now());
        // Zero would be no limit at all.
        let left = left.max(Duration::from_millis(1));
        self.stream.get_mut().set_read_timeout(Some(left))?;
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).with_context(|| {
            let came = String::from_utf8_lossy(&line);
            format!("no answer from the agent in time, but {came:?}")
        })?;
        serde_json::from_slice(&line).with_context(|| {
            let came = String::from_utf8_lossy(&line);
            format!("the machine has ended, or its agent says nonsense: {came:?}")
        })
    }
}

impl Answer {
    /// Adds a part; whether it was the last one.
    fn take(&mut self, part: &Value) -> Result<bool> {
        if let Some(text) = part.get("out").and_then(Value::as_str) {
            self.stdout.extend(bytes(text)?);
        } else if let Some(text) = part.get("err").and_then(Value::as_str) {
            self.stderr.extend(bytes(text)?);
        } else if let Some(status) = part.get("status").and_then(Value::as_i64) {
            self.status = i32::try_from(status).context("a status out of range")?;
            self.killed = part.get("killed") == Some(&Value::Bool(true));
            return Ok(true);
        } else {
            bail!("the agent cannot run it: {part}");
        }
        Ok(false)
    }
}

/// One for each character.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let bytes = text.chars().map(u8::try_from);
    bytes
        .collect::<Result<_, _>>()
        .context("a character that stands for no byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_put_together() {
        let mut answer = Answer::default();
        for (part, last) in [
            (json!({ "out": "a\u{ff}" }), false),
            (json!({ "err": "e" }), false),
            (json!({ "out": "\n" }), false),
            (json!({ "status": -9, "killed": true }), true),
        ] {
            assert_eq!(answer.take(&part).expect("a good part"), last);
        }
        assert_eq!(answer.stdout, b"a\xff\n");
        assert_eq!(answer.stderr, b"e");
        assert_eq!((answer.status, answer.killed), (-9, true));
        assert!(answer.take(&json!({ "out": "\u{100}" })).is_err());
        let failed = answer.take(&json!({ "failed": "no such file" }));
        assert!(failed.is_err_and(|error| error.to_string().contains("no such file")));
    }
}
