//! Questions about a task, changes of its limits, and requests that name what is not there.

use anyhow::{Context as _, Result};
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, DeleteRequest, ExecProcessRequest,
    KillRequest, PauseRequest, PidsRequest, ResizePtyRequest, ResumeRequest, StartRequest,
    StateRequest, StatsRequest, UpdateTaskRequest, WaitRequest,
};
use containerd_shim_protos::cgroups::metrics::Metrics;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use serde_json::json;

use remap_test::Flavour;

use super::run::Run;
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::task::no_task", no_task),
    Case::new("parity::task::no_such_exec", no_such_exec).better(&[Better {
        labels: &["CloseIO"],
        on: &Flavour::ALL,
        reason: "NotFound, as of every other request",
    }]),
    Case::new("parity::task::another_id", another_id),
    Case::new("parity::task::no_such_method", no_such_method),
    Case::new("parity::task::stats", stats),
    Case::new("parity::task::stats_of_created", stats_of_created),
    Case::new("parity::task::limits_in_stats", limits_in_stats),
    Case::new("parity::task::update_memory", update_memory),
    Case::new("parity::task::update_pids", update_pids),
    Case::new("parity::task::update_shares", update_shares),
    Case::new("parity::task::update_nothing", update_nothing).better(&[Better {
        labels: &["update", "state", "events"],
        on: &Flavour::ALL,
        reason: "the stock shim dies of a request without resources",
    }]),
    Case::new("parity::task::update_wrong_type", update_wrong_type).better(&[Better {
        labels: &["update"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::task::update_damaged", update_damaged).better(&[Better {
        labels: &["update"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::task::update_created", update_created),
    Case::new("parity::task::update_ended", update_ended),
    Case::new("parity::task::pids_of_many", pids_of_many),
    Case::new("parity::task::pids_with_exec", pids_with_exec),
    Case::new("parity::task::out_of_memory", out_of_memory),
];

/// All that can be asked about the task `id` and its exec `exec`.
fn all(run: &mut Run, id: &str, exec: &str) {
    let (id, exec_id) = (id.to_owned(), exec.to_owned());
    macro_rules! ask {
        ($method:literal, $request:ident { $($field:ident: $value:expr),* }) => {
            run.other($method, $method, &$request { $($field: $value,)* ..Default::default() })
        };
    }
    ask!(
        "State",
        StateRequest {
            id: id.clone(),
            exec_id: exec_id.clone()
        }
    );
    ask!(
        "Start",
        StartRequest {
            id: id.clone(),
            exec_id: exec_id.clone()
        }
    );
    ask!(
        "Wait",
        WaitRequest {
            id: id.clone(),
            exec_id: exec_id.clone()
        }
    );
    ask!(
        "Kill",
        KillRequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            signal: 9
        }
    );
    ask!(
        "ResizePty",
        ResizePtyRequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            width: 9,
            height: 9
        }
    );
    ask!(
        "CloseIO",
        CloseIORequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            stdin: true
        }
    );
    ask!(
        "Delete",
        DeleteRequest {
            id: id.clone(),
            exec_id: exec_id.clone()
        }
    );
    if exec.is_empty() {
        ask!(
            "Exec",
            ExecProcessRequest {
                id: id.clone(),
                exec_id: "e".to_owned()
            }
        );
        ask!("Pids", PidsRequest { id: id.clone() });
        ask!("Pause", PauseRequest { id: id.clone() });
        ask!("Resume", ResumeRequest { id: id.clone() });
        ask!("Stats", StatsRequest { id: id.clone() });
        ask!("Update", UpdateTaskRequest { id: id.clone() });
        ask!("Connect", ConnectRequest { id: id.clone() });
        ask!(
            "Checkpoint",
            CheckpointTaskRequest {
                id: id,
                path: "/srv/no-such-checkpoint".to_owned()
            }
        );
    }
}

fn no_task(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    all(run, super::shim::ID, "");
    Ok(())
}

fn no_such_exec(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    all(run, super::shim::ID, "no-such-exec");
    let _ = run.state("");
    Ok(())
}

fn another_id(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    all(run, "another", "");
    let _ = run.state("");
    Ok(())
}

fn no_such_method(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    run.other("Dance", "Dance", &StateRequest::default());
    Ok(())
}

fn metrics(run: &mut Run) -> Result<Metrics> {
    let answer = run.stats().context("no statistics")?;
    Ok(Metrics::parse_from_bytes(&answer.stats.value)?)
}

/// Which figures there are. (The hosts have cgroup v1.)
fn stats(run: &mut Run) -> Result<()> {
    run.running("n=0; while [ $n -lt 20000 ]; do n=$((n + 1)); done; sleep 600")?;
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let metrics = metrics(run)?;
    let seen = [
        ("cpu", metrics.cpu.usage.total > 0),
        ("user", metrics.cpu.usage.user > 0),
        ("per cpu", !metrics.cpu.usage.per_cpu.is_empty()),
        ("throttling", metrics.cpu.throttling.is_some()),
        ("memory", metrics.memory.usage.usage > 0),
        ("peak", metrics.memory.usage.max > 0),
        ("rss", metrics.memory.total_rss > 0),
        ("kernel", metrics.memory.kernel.is_some()),
        ("swap", metrics.memory.swap.is_some()),
        ("oom control", metrics.memory_oom_control.is_some()),
        ("pids", metrics.pids.current > 0),
        ("blkio", metrics.blkio.is_some()),
    ];
    for (name, is_there) in seen {
        run.notes.add(name, is_there.to_string());
    }
    let usage = metrics.cpu.usage.total;
    run.notes.add(
        "cpu is in ns",
        (usage > 1_000_000 && usage < 60_000_000_000).to_string(),
    );
    Ok(())
}

fn stats_of_created(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    let _ = run.stats();
    Ok(())
}

fn limits_in_stats(run: &mut Run) -> Result<()> {
    run.shim.edit_spec(|spec| {
        spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        spec["linux"]["resources"]["pids"] = json!({ "limit": 55 });
        spec["linux"]["resources"]["cpu"] =
            json!({ "shares": 512, "quota": 50_000, "period": 100_000 });
    })?;
    run.running("sleep 600")?;
    let metrics = metrics(run)?;
    run.notes
        .add("memory limit", metrics.memory.usage.limit.to_string());
    run.notes.add("pids limit", metrics.pids.limit.to_string());
    Ok(())
}

/// A file of the container's cgroup.
fn note_cgroup(run: &mut Run, controller: &str, file: &str) -> Result<()> {
    let id = super::shim::ID;
    let line = format!("cat /sys/fs/cgroup/{controller}/default/{id}/{file}");
    let output = run.shim.host().command("sh").args(["-c", &line]).run()?;
    run.notes.add(file, output.text().into_owned());
    Ok(())
}

fn update_memory(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.update(&json!({ "memory": { "limit": 32 << 20 } }));
    note_cgroup(run, "memory", "memory.limit_in_bytes")
}

fn update_pids(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.update(&json!({ "pids": { "limit": 44 } }));
    note_cgroup(run, "pids", "pids.max")
}

fn update_shares(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.update(&json!({ "cpu": { "shares": 333, "quota": 20_000, "period": 50_000 } }));
    note_cgroup(run, "cpu", "cpu.shares")?;
    note_cgroup(run, "cpu", "cpu.cfs_quota_us")
}

fn update_nothing(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.update(&json!({}));
    let _ = run.update_with(MessageField::none());
    let _ = run.state("");
    Ok(())
}

fn update_wrong_type(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.update_with(MessageField::some(Any {
        type_url: "containerd.events.TaskExit".to_owned(),
        ..Any::default()
    }));
    Ok(())
}

fn update_damaged(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.update(&json!("no resources"));
    let _ = run.update(&json!({ "memory": { "limit": "much" } }));
    let _ = run.state("");
    Ok(())
}

fn update_created(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    let _ = run.update(&json!({ "pids": { "limit": 43 } }));
    note_cgroup(run, "pids", "pids.max")
}

fn update_ended(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    let _ = run.wait("");
    let _ = run.update(&json!({ "pids": { "limit": 43 } }));
    Ok(())
}

fn pids_of_many(run: &mut Run) -> Result<()> {
    run.running("sleep 600 & sleep 600 & sleep 600 & wait")?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let _ = run.pids();
    Ok(())
}

fn pids_with_exec(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.pids();
    let _ = run.kill("e", 9);
    run.finish_exec("e");
    Ok(())
}

fn out_of_memory(run: &mut Run) -> Result<()> {
    // The stock shim tells the exit first, or not.
    run.unordered = true;
    run.shim.edit_spec(|spec| {
        spec["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20 });
    })?;
    run.running("sleep 0.5; x=$(head -c 60000000 /dev/zero | tr '\\0' x); exit 17")?;
    run.finish();
    // The event may come after the end.
    std::thread::sleep(std::time::Duration::from_millis(500));
    Ok(())
}
