//! The creation of a container, and what is wrong with it.

use anyhow::Result;
use containerd_shim_protos::api::{CreateTaskRequest, Mount};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message as _, MessageField};
use containerd_shim_protos::shim::oci::Options;
use serde_json::json;

use remap_test::Flavour;

use super::run::Run;
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::create::plain", plain),
    Case::new("parity::create::twice", twice).better(&[Better {
        labels: &["create"],
        on: &Flavour::ALL,
        reason: "AlreadyExists says what is wrong, and the first container is left alone",
    }]),
    Case::new("parity::create::again_after_delete", again_after_delete),
    Case::new("parity::create::no_config", no_config),
    Case::new("parity::create::bad_config", bad_config),
    Case::new("parity::create::no_such_program", no_such_program),
    Case::new("parity::create::no_such_directory", no_such_directory),
    Case::new("parity::create::bad_rootfs_type", bad_rootfs_type),
    Case::new("parity::create::no_rootfs_source", no_rootfs_source),
    Case::new("parity::create::no_rootfs", no_rootfs),
    Case::new("parity::create::read_only_root", read_only_root),
    Case::new("parity::create::no_such_runtime", no_such_runtime),
    Case::new("parity::create::runtime_root", runtime_root),
    Case::new("parity::create::no_pivot_root", no_pivot_root),
    Case::new("parity::create::empty_options", empty_options),
    Case::new("parity::create::unknown_options", unknown_options).better(&[Better {
        labels: &["create"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::create::damaged_options", damaged_options).better(&[Better {
        labels: &["create"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::create::devices_and_limits", devices_and_limits),
    Case::new("parity::create::hook_fails", hook_fails),
];

fn plain(run: &mut Run) -> Result<()> {
    run.created("exit 3")?;
    let _ = run.state("");
    let _ = run.connect();
    let _ = run.pids();
    let _ = run.start("");
    run.finish();
    Ok(())
}

fn twice(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    let _ = run.create();
    let _ = run.state("");
    Ok(())
}

fn again_after_delete(run: &mut Run) -> Result<()> {
    run.running("exit 1")?;
    run.finish();
    let _ = run.create();
    let _ = run.start("");
    run.finish();
    Ok(())
}

fn no_config(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    let path = format!("{}/config.json", run.shim.bundle());
    run.shim.host().command("rm").arg(&path).check()?;
    let _ = run.create();
    let _ = run.state("");
    // The action that clears up reads it.
    run.shim.host().write_file(&path, "{}")
}

fn bad_config(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    let path = format!("{}/config.json", run.shim.bundle());
    run.shim.host().write_file(&path, "{ \"ociVersion\": 1")?;
    let _ = run.create();
    let _ = run.state("");
    Ok(())
}

fn no_such_program(run: &mut Run) -> Result<()> {
    run.shim
        .edit_spec(|spec| spec["process"]["args"] = json!(["/no/such/program"]))?;
    run.shim.start(b"")?;
    let _ = run.create();
    let _ = run.state("");
    let _ = run.delete("");
    Ok(())
}

fn no_such_directory(run: &mut Run) -> Result<()> {
    run.shim
        .edit_spec(|spec| spec["process"]["cwd"] = json!("relative"))?;
    run.shim.start(b"")?;
    let _ = run.create();
    Ok(())
}

fn with_rootfs(run: &mut Run, rootfs: Vec<Mount>) -> Result<()> {
    run.shim.start(b"")?;
    let request = CreateTaskRequest {
        rootfs,
        ..run.create_request()
    };
    let _ = run.create_as(&request);
    let _ = run.state("");
    Ok(())
}

fn bad_rootfs_type(run: &mut Run) -> Result<()> {
    let rootfs = Mount {
        type_: "nosuchfs".to_owned(),
        ..run.shim.rootfs()
    };
    with_rootfs(run, vec![rootfs])
}

fn no_rootfs_source(run: &mut Run) -> Result<()> {
    let rootfs = Mount {
        source: "/no/such/directory".to_owned(),
        ..run.shim.rootfs()
    };
    with_rootfs(run, vec![rootfs])
}

/// The bundle has all that is needed.
fn no_rootfs(run: &mut Run) -> Result<()> {
    let (from, to) = (format!("{}/rootfs/.", run.shim.dir()), run.shim.bundle());
    let to = format!("{to}/rootfs");
    run.shim
        .host()
        .command("cp")
        .args(["-a", &from, &to])
        .check()?;
    run.shell("exit 4")?;
    with_rootfs(run, Vec::new())?;
    let _ = run.start("");
    run.finish();
    Ok(())
}

fn read_only_root(run: &mut Run) -> Result<()> {
    run.shim
        .edit_spec(|spec| spec["root"]["readonly"] = json!(true))?;
    run.running("echo >/file || exit 5")?;
    run.finish();
    Ok(())
}

fn options(options: &Options) -> Result<MessageField<Any>> {
    Ok(MessageField::some(Any {
        type_url: "containerd.runc.v1.Options".to_owned(),
        value: options.write_to_bytes()?,
        ..Any::default()
    }))
}

fn with_options(run: &mut Run, options: MessageField<Any>, line: &str) -> Result<()> {
    run.served(line)?;
    let request = CreateTaskRequest {
        options,
        ..run.create_request()
    };
    if run.create_as(&request).is_ok() {
        let _ = run.start("");
        run.finish();
    }
    Ok(())
}

fn no_such_runtime(run: &mut Run) -> Result<()> {
    let options = options(&Options {
        binary_name: "/no/such/runtime".to_owned(),
        ..Options::default()
    })?;
    with_options(run, options, "exit 0")
}

fn runtime_root(run: &mut Run) -> Result<()> {
    let root = format!("{}/root", run.shim.dir());
    let options = options(&Options {
        root: root.clone(),
        ..Options::default()
    })?;
    run.served("sleep 600")?;
    let request = CreateTaskRequest {
        options,
        ..run.create_request()
    };
    let _ = run.create_as(&request);
    let found = run
        .shim
        .host()
        .command("find")
        .args([&root, "-name", "state.json"])
        .run()?;
    run.notes
        .add("state in the root", found.text().into_owned());
    let _ = run.start("");
    let _ = run.kill("", 9);
    run.finish();
    Ok(())
}

fn no_pivot_root(run: &mut Run) -> Result<()> {
    let options = options(&Options {
        no_pivot_root: true,
        ..Options::default()
    })?;
    with_options(run, options, "exit 6")
}

/// What containerd makes of no options after a checkpoint.
fn empty_options(run: &mut Run) -> Result<()> {
    with_options(run, MessageField::some(Any::default()), "exit 7")
}

fn unknown_options(run: &mut Run) -> Result<()> {
    let options = MessageField::some(Any {
        type_url: "no.such.Options".to_owned(),
        value: vec![8, 1],
        ..Any::default()
    });
    with_options(run, options, "exit 8")
}

fn damaged_options(run: &mut Run) -> Result<()> {
    let options = MessageField::some(Any {
        type_url: "containerd.runc.v1.Options".to_owned(),
        value: vec![0xff, 0xff, 0xff],
        ..Any::default()
    });
    with_options(run, options, "exit 9")
}

fn devices_and_limits(run: &mut Run) -> Result<()> {
    run.shim.edit_spec(|spec| {
        spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "hard": 77, "soft": 66 }]);
        spec["process"]["oomScoreAdj"] = json!(321);
        spec["hostname"] = json!("parity-host");
    })?;
    let streams = run.streams("init")?;
    run.served("ulimit -n; cat /proc/self/oom_score_adj; hostname")?;
    let request = run.create_to_outputs(&streams);
    run.start_as(&request);
    run.notes.add("output", streams.stdout());
    run.finish();
    Ok(())
}

fn hook_fails(run: &mut Run) -> Result<()> {
    run.shim.edit_spec(|spec| {
        spec["hooks"] = json!({ "createRuntime": [{ "path": "/bin/false" }] });
    })?;
    run.shim.start(b"")?;
    let _ = run.create();
    let _ = run.state("");
    Ok(())
}
