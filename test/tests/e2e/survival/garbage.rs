//! Anything at all on the shim's socket: it lives on, and says nothing of a panic.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CreateTaskRequest, ExecProcessRequest, StateRequest, UpdateTaskRequest,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::ttrpc;

use super::footprint::Footprint;
use super::is_full;
use super::served::Served;
use crate::context::Context;
use crate::injected::seed::{Dice, VARIABLE};

/// How long: in a full run more.
const TIME: Duration = Duration::from_secs(10);
const FULL_TIME: Duration = Duration::from_secs(120);

/// The allocator may keep two of the largest frames (ttrpc: 4 MiB each).
const MORE_KIB: u64 = 8192;

/// So many frames go over one connection, at most.
const FRAMES: u64 = 32;

/// The seed of a default run: a failure there is not to depend on whose turn it was.
const DEFAULT_SEED: u64 = 0x9b1c_05f3_77aa_21e6;

const ID: &str = "c";

const SERVICES: [&str; 3] = [
    "containerd.task.v2.Task",
    "containerd.task.v3.Task",
    "io.remap.control.v1.Control",
];

/// Those that may be asked of the container itself: it is to live on.
const HARMLESS: [&str; 13] = [
    "State",
    "Pids",
    "Stats",
    "Connect",
    "ResizePty",
    "CloseIO",
    "Wait",
    "Exec",
    "Update",
    "Create",
    "Checkpoint",
    "Plan",
    "Shutdown",
];

const METHODS: [&str; 21] = [
    "State",
    "Create",
    "Start",
    "Delete",
    "Pids",
    "Pause",
    "Resume",
    "Checkpoint",
    "Kill",
    "Exec",
    "ResizePty",
    "CloseIO",
    "Update",
    "Wait",
    "Stats",
    "Connect",
    "Shutdown",
    "Plan",
    "",
    "state",
    "Dance",
];

/// See the module.
pub(super) fn garbage(context: &Context) -> Result<()> {
    let seed = seed()?;
    sent(context, seed).with_context(|| format!("{VARIABLE}={seed:016x}"))
}

fn sent(context: &Context, seed: u64) -> Result<()> {
    let served = Served::start(context, "sleep 600")?;
    served.bundles(&[ID.to_owned()])?;
    served.join(ID)?;
    served.run(ID)?;
    ensure!(served.exec(ID, "exit 1")? == 1, "exec");
    let shim = served.pid()?;
    let mut dice = Dice::new(seed);
    let time = if is_full() { FULL_TIME } else { TIME };
    send(&served, &mut dice, time / 2)?;
    let before = Footprint::of(context.a(), &shim)?;
    send(&served, &mut dice, time / 2)?;
    ensure!(served.exec(ID, "exit 2")? == 2, "exec");
    let now = before.expect_again(context.a(), &shim, MORE_KIB)?;
    println!("garbage: {before}; afterwards {now}");
    ensure!(served.pid()? == shim, "it is another shim");
    served.kill(ID, 9)?;
    ensure!(served.wait(ID, "")? == 137, "its end");
    served.delete(ID, "")?;
    served.end()
}

/// Sends garbage for so long; meanwhile others are served as if nothing were.
fn send(served: &Served, dice: &mut Dice, time: Duration) -> Result<()> {
    let socket = served.shim.socket().context("no socket")?;
    let begun = Instant::now();
    let mut connections = 0;
    while begun.elapsed() < time {
        let what = || format!("after {connections}; its log: {}", served.shim.log());
        connection(dice, &socket).with_context(what)?;
        let state = served.state(ID).with_context(what)?;
        ensure!(state.exit_status == 0, "{}: {state:?}", what());
        connections += 1;
    }
    ensure!(connections > 10, "only {connections} connections");
    Ok(())
}

/// One connection: frames, of which the last may be cut off.
fn connection(dice: &mut Dice, socket: &Path) -> Result<()> {
    let mut stream = UnixStream::connect(socket).context("nobody listens")?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    let mut answers = vec![0; 1 << 16];
    for number in 0..=dice.below(FRAMES) {
        let mut bytes = frame(dice, u32::try_from(number)?);
        if dice.happens(5) {
            let length = dice.below(bytes.len() as u64);
            bytes.truncate(usize::try_from(length)?);
        }
        // The shim may have closed it.
        if stream.write_all(&bytes).is_err() {
            break;
        }
        let _ = stream.read(&mut answers);
    }
    Ok(())
}

/// A frame of ttrpc (its PROTOCOL.md): the length of the data, the stream, a type (1 is a request)
/// and flags, then the data.
fn frame(dice: &mut Dice, number: u32) -> Vec<u8> {
    if dice.happens(10) {
        return bytes(dice, 64);
    }
    let data = match dice.below(10) {
        0 => bytes(dice, 64),
        _ => request(dice),
    };
    let length = match dice.below(20) {
        0 => dice.below(1 << 32),
        _ => data.len() as u64,
    };
    let stream = if dice.happens(90) {
        number * 2 + 1
    } else {
        low(dice)
    };
    let kind = dice.one_of(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 0, 255]);
    let flags = dice.one_of(&[0, 0, 0, 0, 0, 0, 1, 2, 4, 255]);
    let mut frame = u32::try_from(length)
        .unwrap_or(u32::MAX)
        .to_be_bytes()
        .to_vec();
    frame.extend(stream.to_be_bytes());
    frame.extend([kind, flags]);
    frame.extend(data);
    frame
}

fn request(dice: &mut Dice) -> Vec<u8> {
    let method = dice.one_of(&METHODS);
    let payload = match dice.below(3) {
        0 => bytes(dice, 64),
        kind => {
            let id = if HARMLESS.contains(&method) {
                ID
            } else {
                "nobody"
            };
            let mut payload = message(method, id);
            // What is changed may be the id of a method that is not harmless: never to that of ours.
            let changes = if kind == 1 && HARMLESS.contains(&method) {
                dice.below(4)
            } else {
                0
            };
            for _ in 0..changes {
                change(dice, &mut payload);
            }
            payload
        }
    };
    let request = ttrpc::Request {
        service: dice.one_of(&SERVICES).to_owned(),
        method: method.to_owned(),
        timeout_nano: i64::from(low(dice)),
        payload,
        ..ttrpc::Request::default()
    };
    let mut data = request.write_to_bytes().unwrap_or_default();
    if dice.happens(5) {
        change(dice, &mut data);
    }
    data
}

/// A right message for the method, or one that asks nothing but has an id.
fn message(method: &str, id: &str) -> Vec<u8> {
    let id = id.to_owned();
    let any = |text: &str| {
        MessageField::some(Any {
            value: text.into(),
            ..Any::default()
        })
    };
    let bytes = match method {
        "Create" => CreateTaskRequest {
            id,
            bundle: "/srv/no/such/bundle".to_owned(),
            stdin: "/srv/no/such/fifo".to_owned(),
            stdout: "file:///srv/no".to_owned(),
            ..CreateTaskRequest::default()
        }
        .write_to_bytes(),
        "Exec" => ExecProcessRequest {
            id,
            exec_id: "garbage".to_owned(),
            spec: any(r#"{"args":["true"],"cwd":"/"}"#),
            ..ExecProcessRequest::default()
        }
        .write_to_bytes(),
        "Update" => UpdateTaskRequest {
            id,
            resources: any(r#"{"pids":{"limit":1000}}"#),
            ..UpdateTaskRequest::default()
        }
        .write_to_bytes(),
        "Checkpoint" => CheckpointTaskRequest {
            id: "nobody".to_owned(),
            path: "/srv/no/such/images".to_owned(),
            ..CheckpointTaskRequest::default()
        }
        .write_to_bytes(),
        _ => StateRequest {
            id,
            ..StateRequest::default()
        }
        .write_to_bytes(),
    };
    bytes.unwrap_or_default()
}

/// Changes a byte, inserts one, or takes one away.
fn change(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let place = usize::try_from(dice.below(bytes.len() as u64 + 1)).unwrap_or_default();
    let value = dice.below(256).to_le_bytes()[0];
    match (dice.below(3), bytes.get_mut(place)) {
        (0, Some(byte)) => *byte = value,
        (1, Some(_)) => drop(bytes.remove(place)),
        _ => bytes.insert(place, value),
    }
}

fn bytes(dice: &mut Dice, most: u64) -> Vec<u8> {
    (0..dice.below(most))
        .map(|_| dice.below(256).to_le_bytes()[0])
        .collect()
}

fn low(dice: &mut Dice) -> u32 {
    u32::try_from(dice.below(1 << 32)).unwrap_or_default()
}

fn seed() -> Result<u64> {
    match env::var(VARIABLE) {
        Ok(text) => {
            let master = text.split('.').next().unwrap_or_default();
            u64::from_str_radix(master, 16).with_context(|| format!("{text:?} is no seed"))
        }
        Err(_) if is_full() => Ok(RandomState::new().build_hasher().finish()),
        Err(_) => Ok(DEFAULT_SEED),
    }
}
