//! Checkpoints and restores of what any shim can.

use anyhow::{Result, ensure};
use containerd_shim_protos::api::CreateTaskRequest;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message as _, MessageField};
use containerd_shim_protos::shim::oci::{CheckpointOptions, Options};
use remap_test::{Flavour, wait};

use super::run::{LIMIT, Run};
use super::{Better, Case};

/// The documentation of the events asks for one, and the stock shim sends none.
pub(super) const TOLD: Better = Better {
    labels: &["events"],
    on: &Flavour::ALL,
    reason: "TaskCheckpointed is published",
};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::restore::leave_running", leave_running).better(&[TOLD]),
    Case::new("parity::restore::exit", exit).better(&[TOLD]),
    Case::new("parity::restore::paused", paused).better(&[TOLD]),
    Case::new("parity::restore::restored", restored).better(&[TOLD]),
    Case::new("parity::restore::with_options", with_options).better(&[TOLD]),
    Case::new("parity::restore::checkpoint_options", checkpoint_options).better(&[TOLD]),
    Case::new("parity::restore::exec_in_restored", exec_in_restored).better(&[TOLD]),
    Case::new("parity::restore::kill_restored", kill_restored).better(&[TOLD]),
    Case::new("parity::restore::streams_of_restored", streams_of_restored).better(&[TOLD]),
    Case::new("parity::restore::log_of_restored", log_of_restored).better(&[
        TOLD,
        Better {
            labels: &["stats"],
            on: &[Flavour::Forky23],
            reason: "the stock shim of containerd 2.2 and later loses the cgroup of a restored container",
        },
    ]),
    Case::new("parity::restore::before_start", before_start).better(&[
        TOLD,
        Better {
            labels: &["pids"],
            on: &Flavour::ALL,
            reason: "a containerd that restarts takes no answer for a shim that was left over",
        },
    ]),
    Case::new("parity::restore::created", created),
    Case::new("parity::restore::ended", ended),
    Case::new("parity::restore::no_path", no_path).better(&[Better {
        labels: &["checkpoint"],
        on: &Flavour::ALL,
        reason: "the stock shim leaves the images in a directory that nobody knows",
    }]),
    Case::new("parity::restore::wrong_options", wrong_options).better(&[Better {
        labels: &["checkpoint"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::restore::no_images", no_images),
    Case::new("parity::restore::empty_images", empty_images),
];

/// As its init it has none whose sleep a dump would cut short.
const LOOP: &str = "while :; do sleep 0.2; done";

fn images(run: &Run) -> String {
    format!("{}/images", run.shim.dir())
}

fn options(exit: bool) -> Result<MessageField<Any>> {
    let options = CheckpointOptions {
        exit,
        ..CheckpointOptions::default()
    };
    Ok(MessageField::some(Any {
        type_url: "containerd.runc.v1.CheckpointOptions".to_owned(),
        value: options.write_to_bytes()?,
        ..Any::default()
    }))
}

fn leave_running(run: &mut Run) -> Result<()> {
    run.running(LOOP)?;
    let path = images(run);
    let _ = run.checkpoint(&path, options(false)?);
    run.until_status("", "RUNNING")?;
    let _ = run.state("");
    let there = run
        .shim
        .host()
        .path(format!("{path}/inventory.img"))
        .exists();
    run.notes.add("images", there.to_string());
    Ok(())
}

fn exit(run: &mut Run) -> Result<()> {
    run.running(LOOP)?;
    let path = images(run);
    let _ = run.checkpoint(&path, options(true)?);
    let _ = run.wait("");
    let _ = run.state("");
    let _ = run.resume();
    let _ = run.delete("");
    Ok(())
}

/// As ctr does it.
fn paused(run: &mut Run) -> Result<()> {
    run.running(LOOP)?;
    let path = images(run);
    let _ = run.pause();
    let _ = run.checkpoint(&path, options(false)?);
    let _ = run.state("");
    let _ = run.resume();
    let _ = run.state("");
    Ok(())
}

/// The container as it was a moment ago.
pub(super) fn come_back(run: &mut Run, line: &str) -> Result<()> {
    come_back_with(run, line, MessageField::none())
}

/// The same, with options for its creation.
fn come_back_with(run: &mut Run, line: &str, created: MessageField<Any>) -> Result<()> {
    run.running(line)?;
    let path = images(run);
    let _ = run.checkpoint(&path, options(true)?);
    run.finish();
    let request = CreateTaskRequest {
        checkpoint: path,
        options: created,
        ..run.create_request()
    };
    let _ = run.create_as(&request);
    Ok(())
}

fn restored(run: &mut Run) -> Result<()> {
    come_back(run, LOOP)?;
    let _ = run.state("");
    let _ = run.start("");
    let _ = run.state("");
    let _ = run.connect();
    let _ = run.pause();
    let _ = run.resume();
    Ok(())
}

fn exec_in_restored(run: &mut Run) -> Result<()> {
    come_back(run, LOOP)?;
    let _ = run.start("");
    run.whole_exec("e", "exit 35");
    Ok(())
}

fn kill_restored(run: &mut Run) -> Result<()> {
    let line = "trap 'exit 36' TERM; while :; do sleep 0.1; done";
    come_back(run, line)?;
    let _ = run.start("");
    let _ = run.kill("", 15);
    run.finish();
    Ok(())
}

/// Says what it reads, and marks in a file that it has, until its input ends.
const TALK: &str = "while read word; do echo said $word; echo heard $word >&2; echo $word >/mark; done; \
                    exit 37";

/// Waits until [`TALK`] has done with a word.
fn until_marked(run: &Run, word: &str) -> Result<()> {
    let path = format!("{}/rootfs/mark", run.shim.dir());
    let is_marked = || {
        let mark = run.shim.host().command("cat").arg(&path).run()?;
        Ok(mark.text() == word)
    };
    ensure!(wait::until(LIMIT, is_marked)?, "{word} is not heard");
    Ok(())
}

/// A client has other FIFOs after the restore; all three work.
fn streams_of_restored(run: &mut Run) -> Result<()> {
    let streams = run.streams("first")?;
    let writer = streams.open_stdin()?;
    run.served(TALK)?;
    let request = run.create_to_all(&streams);
    run.start_as(&request);
    streams.write_stdin(b"one\n")?;
    until_marked(run, "one")?;
    let path = images(run);
    let _ = run.checkpoint(&path, options(true)?);
    run.finish();
    drop(writer);
    run.notes.add("first output", streams.stdout());

    let streams = run.streams("second")?;
    let writer = streams.open_stdin()?;
    let request = CreateTaskRequest {
        checkpoint: path,
        ..run.create_to_all(&streams)
    };
    run.start_as(&request);
    streams.write_stdin(b"two\n")?;
    until_marked(run, "two")?;
    drop(writer);
    let _ = run.close_io("");
    let _ = run.wait("");
    run.notes.add("second output", streams.stdout());
    run.notes.add("second error", streams.stderr());
    let _ = run.delete("");
    Ok(())
}

/// A file goes on where it was.
fn log_of_restored(run: &mut Run) -> Result<()> {
    let log = format!("{}/log.txt", run.shim.dir());
    let request = CreateTaskRequest {
        stdout: format!("file://{log}"),
        stderr: format!("file://{log}"),
        ..run.create_request()
    };
    let line = "echo begun; while [ ! -e /end ]; do sleep 0.1; done; echo ended; echo error >&2";
    run.served(line)?;
    run.start_as(&request);
    let path = images(run);
    let _ = run.checkpoint(&path, options(true)?);
    run.finish();
    let request = CreateTaskRequest {
        checkpoint: path,
        ..request
    };
    run.start_as(&request);
    let _ = run.stats();
    let end = format!("{}/rootfs/end", run.shim.dir());
    run.shim.host().write_file(&end, "")?;
    run.finish();
    let text = run.shim.host().read_file(&log)?;
    let text = String::from_utf8_lossy(&text);
    // The last two come by two pipes, in any order.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    run.notes.add("log", lines.join("\n"));
    Ok(())
}

/// It has no process yet.
fn before_start(run: &mut Run) -> Result<()> {
    come_back(run, LOOP)?;
    let _ = run.pids();
    let _ = run.pause();
    let _ = run.resume();
    let _ = run.exec("e", "exit 0");
    let _ = run.kill("", 9);
    let _ = run.checkpoint("/srv/no-such", options(false)?);
    let _ = run.delete("");
    let _ = run.state("");
    Ok(())
}

fn created(run: &mut Run) -> Result<()> {
    run.created(LOOP)?;
    let path = images(run);
    let _ = run.checkpoint(&path, options(false)?);
    let _ = run.state("");
    Ok(())
}

fn ended(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    let _ = run.wait("");
    let path = images(run);
    let _ = run.checkpoint(&path, options(false)?);
    let _ = run.delete("");
    Ok(())
}

fn no_path(run: &mut Run) -> Result<()> {
    run.running(LOOP)?;
    let _ = run.checkpoint("", options(false)?);
    let _ = run.state("");
    Ok(())
}

fn wrong_options(run: &mut Run) -> Result<()> {
    run.running(LOOP)?;
    let path = images(run);
    for (type_url, value) in [
        ("containerd.events.TaskExit", vec![]),
        ("containerd.runc.v1.CheckpointOptions", vec![0xff, 0xff]),
    ] {
        let options = MessageField::some(Any {
            type_url: type_url.to_owned(),
            value,
            ..Any::default()
        });
        let _ = run.checkpoint(&path, options);
    }
    let _ = run.state("");
    Ok(())
}

fn from_images(run: &mut Run) -> Result<()> {
    run.served(LOOP)?;
    let request = CreateTaskRequest {
        checkpoint: images(run),
        ..run.create_request()
    };
    run.start_as(&request);
    let _ = run.delete("");
    Ok(())
}

fn no_images(run: &mut Run) -> Result<()> {
    from_images(run)
}

fn empty_images(run: &mut Run) -> Result<()> {
    let path = images(run);
    run.shim.host().command("mkdir").arg(&path).check()?;
    from_images(run)
}

/// All that a restore has to do with.
fn with_options(run: &mut Run) -> Result<()> {
    let work = format!("{}/criu", run.shim.dir());
    let options = Options {
        no_new_keyring: true,
        no_pivot_root: true,
        criu_work_path: work.clone(),
        ..Options::default()
    };
    let options = MessageField::some(Any {
        type_url: "containerd.runc.v1.Options".to_owned(),
        value: options.write_to_bytes()?,
        ..Any::default()
    });
    come_back_with(run, LOOP, options)?;
    let _ = run.start("");
    let _ = run.state("");
    let log = run.shim.host().path(format!("{work}/restore.log"));
    run.notes.add("CRIU's log", log.exists().to_string());
    let _ = run.kill("", 9);
    run.finish();
    Ok(())
}

/// All that a checkpoint can be asked for, but for what this kernel's CRIU cannot do.
fn checkpoint_options(run: &mut Run) -> Result<()> {
    run.running(LOOP)?;
    let (path, work) = (images(run), format!("{}/criu", run.shim.dir()));
    let options = CheckpointOptions {
        exit: true,
        open_tcp: true,
        external_unix_sockets: true,
        terminal: true,
        file_locks: true,
        empty_namespaces: vec!["network".to_owned()],
        cgroups_mode: "soft".to_owned(),
        work_path: work.clone(),
        ..CheckpointOptions::default()
    };
    let options = MessageField::some(Any {
        type_url: "containerd.runc.v1.CheckpointOptions".to_owned(),
        value: options.write_to_bytes()?,
        ..Any::default()
    });
    let _ = run.checkpoint(&path, options);
    let log = run.shim.host().path(format!("{work}/dump.log"));
    let log = std::fs::read_to_string(log).unwrap_or_default();
    run.notes.add("CRIU's log", (!log.is_empty()).to_string());
    run.finish();
    Ok(())
}
