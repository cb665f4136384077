//! Logging in the format of containerd's own shims (logfmt, as logrus writes it), to the fifo
//! `log` in the bundle, which containerd copies to its own log.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::{LookupSpan, Scope},
};

/// Logs to the fifo at `path`. Without one, or when nobody reads it fast enough, lines are lost;
/// the shim never waits for them.
pub(crate) fn to_fifo(path: &Path, debug: bool) {
    // Opened for reading too, so that it neither waits for containerd nor breaks when containerd
    // restarts (fifo(7)).
    let fifo = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    if let Ok(fifo) = fifo {
        install(Fifo(fifo), debug);
    }
}

/// Logs to standard error, which containerd shows when `delete` fails.
pub(crate) fn to_stderr(debug: bool) {
    install(io::stderr, debug);
}

fn install(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static, debug: bool) {
    let level = if debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_max_level(level)
        .event_format(Logfmt)
        .finish();
    // Only a second call fails, and the first one's subscriber then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(
        |info| tracing::error!(panic = %info, "the shim panicked"),
    ));
}

/// A fifo that never blocks: a line that does not fit is dropped. Lines of up to PIPE_BUF bytes
/// are written whole or not at all (pipe(7)).
struct Fifo(File);

impl<'a> MakeWriter<'a> for Fifo {
    type Writer = FifoWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        FifoWriter(&self.0)
    }
}

struct FifoWriter<'a>(&'a File);

impl Write for FifoWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.write(line) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(line.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `time="…" level=… msg="…" key=value …`
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writer.write_str("time=\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(
            writer,
            "\" level={} msg={}{}",
            level(*event.metadata().level()),
            quoted(&fields.message),
            fields.rest
        )?;
        // Which container, and which phase of what.
        let spans = context.event_scope().into_iter().flat_map(Scope::from_root);
        for span in spans {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(writer, " {fields}")?;
            }
        }
        writeln!(writer)
    }
}

/// The words of logrus.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field.name(), &remap_engine::phase::report(value));
    }
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        if name == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.rest.push(' ');
            self.rest.push_str(name);
            self.rest.push('=');
            self.rest.push_str(&quoted(value));
        }
    }
}

/// Bare if logrus would leave it bare, else in quotes.
fn quoted(value: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !value.is_empty() && value.chars().all(bare) {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_full_fifo_costs_lines_not_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&path)
                .unwrap()
        };
        let mut reader = open();
        let writer = Fifo(open());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(writer)
            .event_format(Logfmt)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("phase", phase = "scan");
            span.in_scope(|| tracing::warn!(id = "c 1", pid = 7, "hello \"you\""));
            for _ in 0..10_000 {
                tracing::info!("filling the fifo");
            }
        });
        let mut line = vec![0; 256];
        let read = reader.read(&mut line).unwrap();
        let text = String::from_utf8_lossy(&line[..read]).into_owned();
        let text = text.lines().next().unwrap();
        assert!(text.starts_with("time=\"20"), "{text}");
        assert!(
            text.ends_with(r#" level=warning msg="hello \"you\"" id="c 1" pid=7 phase="scan""#),
            "{text}"
        );
    }
}
