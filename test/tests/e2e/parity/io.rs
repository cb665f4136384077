//! Streams, terminals and loggers.

use std::io::Write as _;

use anyhow::Result;
use containerd_shim_protos::api::CreateTaskRequest;
use remap_test::{Flavour, wait};
use serde_json::json;

use super::run::{LIMIT, Run};
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::io::output", output),
    Case::new("parity::io::big_output", big_output),
    Case::new("parity::io::only_error", only_error).better(&[Better {
        labels: &["create", "start", "error", "wait", "delete", "events"],
        on: &Flavour::ALL,
        reason: "one output alone is enough: the stock shim opens an empty path",
    }]),
    Case::new("parity::io::input", input),
    Case::new("parity::io::close_input", close_input),
    Case::new("parity::io::exec_output", exec_output),
    Case::new("parity::io::exec_input", exec_input),
    Case::new("parity::io::terminal", terminal),
    Case::new("parity::io::terminal_exec", terminal_exec),
    Case::new("parity::io::terminal_by_request", terminal_by_request),
    Case::new("parity::io::no_terminal_by_request", no_terminal_by_request),
    Case::new("parity::io::resize", resize),
    Case::new("parity::io::resize_without", resize_without),
    Case::new("parity::io::child_holds_output", child_holds_output),
    Case::new("parity::io::file", file),
    Case::new("parity::io::file_appends", file_appends),
    Case::new("parity::io::file_in_no_directory", file_in_no_directory),
    Case::new("parity::io::file_for_both", file_for_both),
    Case::new("parity::io::logger", logger),
    Case::new("parity::io::logger_fails", logger_fails),
    Case::new("parity::io::no_logger", no_logger),
    Case::new("parity::io::unknown_scheme", unknown_scheme).better(&[Better {
        labels: &["create"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::io::no_fifo", no_fifo),
];

fn output(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.served("echo one; echo two >&2; exit 26")?;
    let request = run.create_to_outputs(&streams);
    let _ = run.create_as(&request);
    let _ = run.state("");
    let _ = run.start("");
    run.notes.add("output", streams.stdout());
    run.notes.add("error", streams.stderr());
    run.finish();
    Ok(())
}

fn big_output(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.served("seq 300000; echo end >&2")?;
    let request = run.create_to_outputs(&streams);
    run.start_as(&request);
    let text = streams.stdout();
    run.notes.add("bytes", text.len().to_string());
    run.notes
        .add("end", text.lines().last().unwrap_or_default());
    run.notes.add("error", streams.stderr());
    run.finish();
    Ok(())
}

fn only_error(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.served("echo lost; echo kept >&2")?;
    let request = CreateTaskRequest {
        stderr: streams.stderr.clone(),
        ..run.create_request()
    };
    run.start_as(&request);
    run.notes.add("error", streams.stderr());
    run.finish();
    Ok(())
}

fn input(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.served("read line; echo got $line")?;
    let request = run.create_to_all(&streams);
    let mut stdin = streams.open_stdin()?;
    run.start_as(&request);
    stdin.write_all(b"a line\n")?;
    run.notes.add("output", streams.stdout());
    run.finish();
    Ok(())
}

/// containerd says when a client has closed its end, as somebody may hold it open.
fn close_input(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.served("cat; echo end")?;
    let request = run.create_to_all(&streams);
    let writer = streams.open_stdin()?;
    run.start_as(&request);
    streams.write_stdin(b"some text\n")?;
    drop(writer);
    let _ = run.close_io("");
    run.notes.add("output", streams.stdout());
    run.finish();
    Ok(())
}

fn exec_output(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let streams = run.streams("e")?;
    let request = run.exec_to_outputs(&streams, "e", "echo three; echo four >&2");
    run.start_exec_as(&request);
    run.notes.add("output", streams.stdout());
    run.notes.add("error", streams.stderr());
    run.finish_exec_seen("e");
    Ok(())
}

fn exec_input(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let streams = run.streams("e")?;
    let request = run.exec_to_all(&streams, "e", "cat; echo end");
    let writer = streams.open_stdin()?;
    run.start_exec_as(&request);
    streams.write_stdin(b"more text\n")?;
    drop(writer);
    let _ = run.close_io("e");
    run.notes.add("output", streams.stdout());
    run.finish_exec("e");
    Ok(())
}

fn terminal(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.shim
        .edit_spec(|spec| spec["process"]["terminal"] = json!(true))?;
    run.served("tty >/dev/null && echo on a terminal; echo error >&2; exit 27")?;
    let request = CreateTaskRequest {
        terminal: true,
        stdout: streams.stdout.clone(),
        ..run.create_request()
    };
    run.start_as(&request);
    run.notes.add("output", streams.stdout());
    let _ = run.wait("");
    let _ = run.state("");
    let _ = run.delete("");
    Ok(())
}

fn terminal_exec(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let streams = run.streams("e")?;
    let mut request = run.exec_request("e", "");
    request.terminal = true;
    request.stdout.clone_from(&streams.stdout);
    request.spec = super::run::process(&json!({
        "args": ["/bin/sh", "-c", "sleep 0.5; stty size; exit 28"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "terminal": true,
        "user": { "uid": 0, "gid": 0 },
    }));
    run.start_exec_as(&request);
    let _ = run.resize("e", 91, 37);
    run.notes.add("output", streams.stdout());
    run.finish_exec("e");
    Ok(())
}

/// A client says it in the request, and not in the process.
fn terminal_by_request(run: &mut Run) -> Result<()> {
    against_process(run, true)
}

fn no_terminal_by_request(run: &mut Run) -> Result<()> {
    against_process(run, false)
}

fn against_process(run: &mut Run, terminal: bool) -> Result<()> {
    run.running("sleep 600")?;
    let streams = run.streams("e")?;
    let line = "if tty >/dev/null; then echo terminal; else echo none; fi; exit 29";
    let mut request = run.exec_request("e", "");
    request.terminal = terminal;
    request.stdout.clone_from(&streams.stdout);
    if !terminal {
        request.stderr.clone_from(&streams.stderr);
    }
    request.spec = super::run::process(&json!({
        "args": ["/bin/sh", "-c", line],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "terminal": !terminal,
        "user": { "uid": 0, "gid": 0 },
    }));
    run.start_exec_as(&request);
    run.notes.add("output", streams.stdout());
    run.finish_exec("e");
    Ok(())
}

fn resize(run: &mut Run) -> Result<()> {
    let streams = run.streams("init")?;
    run.shim
        .edit_spec(|spec| spec["process"]["terminal"] = json!(true))?;
    run.served("sleep 0.7; stty size")?;
    let request = CreateTaskRequest {
        terminal: true,
        stdout: streams.stdout.clone(),
        ..run.create_request()
    };
    run.start_as(&request);
    let _ = run.resize("", 101, 41);
    run.notes.add("output", streams.stdout());
    run.finish();
    let _ = run.resize("", 10, 10);
    Ok(())
}

fn resize_without(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.resize("", 80, 24);
    let _ = run.close_io("");
    Ok(())
}

/// The output ends when the last one who has it does.
fn child_holds_output(run: &mut Run) -> Result<()> {
    let streams = run.streams("e")?;
    run.running("sleep 600")?;
    let request = run.exec_to_outputs(&streams, "e", "(sleep 1; echo late) & echo early");
    run.start_exec_as(&request);
    let _ = run.wait("e");
    run.notes.add("output", streams.stdout());
    let _ = run.delete("e");
    Ok(())
}

/// Runs `line` with both outputs at `uri`.
pub(super) fn to_uri(run: &mut Run, uri: &str, line: &str) -> Result<()> {
    run.served(line)?;
    let request = CreateTaskRequest {
        stdout: uri.to_owned(),
        stderr: uri.to_owned(),
        ..run.create_request()
    };
    if run.create_as(&request).is_ok() {
        let _ = run.start("");
        run.finish();
    }
    let _ = run.state("");
    Ok(())
}

pub(super) fn note_file(run: &mut Run, path: &str, wanted: &str) -> Result<()> {
    let read = || run.shim.host().read_file(path).unwrap_or_default();
    // A logger may be a little behind.
    wait::until(LIMIT, || {
        Ok(String::from_utf8_lossy(&read()).contains(wanted))
    })?;
    let text = String::from_utf8_lossy(&read()).into_owned();
    run.notes.add("file", text);
    Ok(())
}

fn file(run: &mut Run) -> Result<()> {
    let path = format!("{}/log", run.shim.dir());
    to_uri(run, &format!("file://{path}"), "echo five; exit 29")?;
    note_file(run, &path, "five")?;
    let mode = run
        .shim
        .host()
        .command("stat")
        .args(["-c", "%a", &path])
        .check()?;
    run.notes.add("mode", mode.text().into_owned());
    Ok(())
}

fn file_appends(run: &mut Run) -> Result<()> {
    let path = format!("{}/log", run.shim.dir());
    run.shim.host().write_file(&path, "before\n")?;
    to_uri(run, &format!("file://{path}"), "echo after")?;
    note_file(run, &path, "after")
}

fn file_in_no_directory(run: &mut Run) -> Result<()> {
    let path = format!("{}/some/where/log", run.shim.dir());
    to_uri(run, &format!("file://{path}"), "echo made")?;
    note_file(run, &path, "made")
}

fn file_for_both(run: &mut Run) -> Result<()> {
    let path = format!("{}/log", run.shim.dir());
    to_uri(
        run,
        &format!("file://{path}"),
        "echo out; sleep 0.2; echo err >&2; sleep 0.2; echo out again",
    )?;
    note_file(run, &path, "again")
}

fn logger(run: &mut Run) -> Result<()> {
    let log = format!("{}/log", run.shim.dir());
    let text = format!(
        "#!/bin/sh\n\
         exec 9>{log}\n\
         echo \"$CONTAINER_ID $CONTAINER_NAMESPACE $*\" >&9\n\
         exec 5>&-\n\
         cat <&4 >{log}.error &\n\
         cat <&3 >&9\n\
         wait\n"
    );
    let program = run.shim.script("logger", &text)?;
    let uri = format!("binary://{program}?key=value");
    to_uri(run, &uri, "echo six; echo seven >&2; exit 30")?;
    note_file(run, &log, "six")?;
    note_file(run, &format!("{log}.error"), "seven")
}

/// One that ends before it is ready counts as ready.
fn logger_fails(run: &mut Run) -> Result<()> {
    let program = run.shim.script("logger", "#!/bin/sh\nexit 1\n")?;
    to_uri(run, &format!("binary://{program}"), "sleep 0.2; exit 31")
}

fn no_logger(run: &mut Run) -> Result<()> {
    to_uri(run, "binary:///no/such/logger", "exit 32")
}

fn unknown_scheme(run: &mut Run) -> Result<()> {
    to_uri(run, "carrier-pigeon:///somewhere", "exit 33")
}

/// A path without a FIFO.
fn no_fifo(run: &mut Run) -> Result<()> {
    let path = format!("{}/no-such-fifo", run.shim.dir());
    run.served("echo lost; exit 34")?;
    let request = CreateTaskRequest {
        stdout: path,
        ..run.create_request()
    };
    if run.create_as(&request).is_ok() {
        let _ = run.start("");
        run.finish();
    }
    Ok(())
}
