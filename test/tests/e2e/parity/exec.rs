//! Further processes in a container.

use anyhow::Result;
use containerd_shim_protos::api::ExecProcessRequest;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use serde_json::{Value, json};

use remap_test::Flavour;

use super::run::{Run, process};
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::exec::exit_0", |run| whole(run, "exit 0")),
    Case::new("parity::exec::exit_77", |run| whole(run, "exit 77")),
    Case::new("parity::exec::by_signal", |run| whole(run, "kill -9 $$")),
    Case::new("parity::exec::running", running),
    Case::new("parity::exec::added", added),
    Case::new("parity::exec::twice", twice),
    Case::new("parity::exec::again", again),
    Case::new("parity::exec::id_of_init", id_of_init),
    Case::new("parity::exec::odd_id", odd_id).better(&[Better {
        labels: &[
            "exec",
            "exec of a/b",
            "exec of ..",
            "delete of a/b",
            "delete of ..",
            "events",
        ],
        on: &Flavour::ALL,
        reason: "what is no name is refused, as containerd itself does",
    }]),
    Case::new("parity::exec::start_twice", start_twice).better(&[Better {
        labels: &["events"],
        on: &Flavour::ALL,
        reason: "the stock shim tells the exit twice",
    }]),
    Case::new("parity::exec::start_after_end", start_after_end),
    Case::new("parity::exec::delete_running", delete_running),
    Case::new("parity::exec::delete_added", delete_added),
    Case::new("parity::exec::delete_twice", delete_twice),
    Case::new("parity::exec::in_created", in_created),
    Case::new("parity::exec::no_such_program", no_such_program),
    Case::new("parity::exec::not_executable", not_executable),
    Case::new("parity::exec::no_arguments", no_arguments),
    Case::new("parity::exec::no_spec", no_spec).better(&[Better {
        labels: &["exec of e", "state", "events"],
        on: &Flavour::ALL,
        reason: "the stock shim dies of a request without a process",
    }]),
    Case::new("parity::exec::damaged_spec", damaged_spec).better(&[Better {
        labels: &["exec of e"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::exec::wrong_type", wrong_type).better(&[Better {
        labels: &["exec of e"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::exec::no_such_cwd", no_such_cwd),
    Case::new("parity::exec::user_and_env", user_and_env),
    Case::new("parity::exec::child_outlives", child_outlives),
    Case::new("parity::exec::three_at_once", three_at_once),
    Case::new("parity::exec::wait_before_end", wait_before_end),
    Case::new("parity::exec::after_init", after_init),
];

fn whole(run: &mut Run, line: &str) -> Result<()> {
    run.running("sleep 600")?;
    run.whole_exec("e", line);
    Ok(())
}

fn running(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.state("e");
    let _ = run.kill("e", 9);
    run.finish_exec_seen("e");
    let _ = run.state("e");
    Ok(())
}

fn added(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.exec("e", "exit 0");
    let _ = run.state("e");
    Ok(())
}

fn twice(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.exec("e", "exit 0");
    run.start_exec("e", "exit 1");
    let _ = run.wait("e");
    let _ = run.exec("e", "exit 2");
    Ok(())
}

fn again(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.whole_exec("e", "exit 20");
    run.whole_exec("e", "exit 21");
    Ok(())
}

fn id_of_init(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.exec(super::shim::ID, "exit 22");
    let _ = run.start(super::shim::ID);
    let _ = run.state("");
    Ok(())
}

fn odd_id(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    for id in ["", "a/b", "..", "ü", "a b"] {
        let _ = run.exec(id, "exit 0");
        if !id.is_empty() {
            let _ = run.delete(id);
        }
    }
    let _ = run.state("");
    Ok(())
}

fn start_twice(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.start("e");
    let _ = run.kill("e", 9);
    run.finish_exec("e");
    Ok(())
}

fn start_after_end(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exit 0");
    let _ = run.wait("e");
    let _ = run.start("e");
    Ok(())
}

fn delete_running(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.delete("e");
    let _ = run.state("e");
    Ok(())
}

fn delete_added(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.exec("e", "exit 0");
    let _ = run.delete("e");
    let _ = run.state("e");
    Ok(())
}

fn delete_twice(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.whole_exec("e", "exit 0");
    let _ = run.delete("e");
    Ok(())
}

fn in_created(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    run.whole_exec("e", "exit 23");
    let _ = run.state("");
    Ok(())
}

fn spec(run: &Run, change: impl FnOnce(&mut Value)) -> ExecProcessRequest {
    let mut spec = json!({
        "args": ["/bin/true"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": { "uid": 0, "gid": 0 },
    });
    change(&mut spec);
    ExecProcessRequest {
        spec: process(&spec),
        ..run.exec_request("e", "")
    }
}

/// What a failed start leaves.
fn fails(run: &mut Run, request: &ExecProcessRequest) {
    let _ = run.exec_as(request);
    let _ = run.start("e");
    let _ = run.state("e");
    let _ = run.delete("e");
    let _ = run.state("");
}

fn no_such_program(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let request = spec(run, |spec| spec["args"] = json!(["/no/such/program"]));
    fails(run, &request);
    Ok(())
}

fn not_executable(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let request = spec(run, |spec| spec["args"] = json!(["/etc/passwd"]));
    fails(run, &request);
    Ok(())
}

fn no_arguments(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let request = spec(run, |spec| spec["args"] = json!([]));
    fails(run, &request);
    Ok(())
}

fn no_such_cwd(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let request = spec(run, |spec| spec["cwd"] = json!("/no/such/directory"));
    fails(run, &request);
    Ok(())
}

fn with_spec(run: &mut Run, spec: MessageField<Any>) -> Result<()> {
    run.running("sleep 600")?;
    let request = ExecProcessRequest {
        spec,
        ..run.exec_request("e", "")
    };
    let _ = run.exec_as(&request);
    let _ = run.state("");
    Ok(())
}

fn no_spec(run: &mut Run) -> Result<()> {
    with_spec(run, MessageField::none())
}

fn damaged_spec(run: &mut Run) -> Result<()> {
    let spec = MessageField::some(Any {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
        value: b"{ \"args\": ".to_vec(),
        ..Any::default()
    });
    with_spec(run, spec)
}

fn wrong_type(run: &mut Run) -> Result<()> {
    let spec = MessageField::some(Any {
        type_url: "containerd.runc.v1.Options".to_owned(),
        value: vec![8, 1],
        ..Any::default()
    });
    with_spec(run, spec)
}

fn user_and_env(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let streams = run.streams("e")?;
    let request = spec(run, |spec| {
        spec["args"] = json!(["/bin/sh", "-c", "id -u; id -g; pwd; export -p; id -G"]);
        spec["cwd"] = json!("/tmp");
        spec["env"] = json!(["PATH=/bin", "WORD=here"]);
        spec["user"] = json!({ "uid": 12, "gid": 34, "additionalGids": [56] });
    });
    let request = ExecProcessRequest {
        stdout: streams.stdout.clone(),
        stderr: streams.stderr.clone(),
        ..request
    };
    run.start_exec_as(&request);
    run.notes.add("output", streams.stdout());
    run.finish_exec("e");
    Ok(())
}

/// It belongs to the container from then on.
fn child_outlives(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.whole_exec("e", "sleep 600 & exit 24");
    let _ = run.pids();
    Ok(())
}

fn three_at_once(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let ids = ["one", "two", "three"];
    for id in ids {
        let _ = run.exec(id, "exec sleep 600");
    }
    for id in ids {
        let _ = run.start(id);
    }
    for (id, signal) in ids.into_iter().zip([9, 15, 1]) {
        let _ = run.kill(id, signal);
        let _ = run.wait(id);
    }
    for id in ids {
        let _ = run.delete(id);
    }
    Ok(())
}

fn wait_before_end(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "sleep 0.5; exit 25");
    run.finish_exec("e");
    Ok(())
}

/// What can be asked about an exec that ended with its container.
fn after_init(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.kill("", 9);
    let _ = run.wait("");
    let _ = run.wait("e");
    let _ = run.state("e");
    let _ = run.exec("f", "exit 0");
    let _ = run.delete("e");
    let _ = run.delete("");
    Ok(())
}
