//! Requests with something wrong in one field: each is refused by its name, before anything is done.

use anyhow::{Context as _, Result, bail, ensure};
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, CreateTaskRequest, DeleteRequest, ExecProcessRequest,
    KillRequest, PauseRequest, PidsRequest, ResizePtyRequest, ResumeRequest, StartRequest,
    StateRequest, StatsRequest, UpdateTaskRequest, WaitRequest,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::{CheckpointOptions, Options};

use super::served::Served;
use crate::context::Context;

/// The container that there is.
const ID: &str = "c";

/// The code of all that is the caller's fault (`google.rpc.Code`).
const INVALID: &str = "INVALID_ARGUMENT";
const NOT_FOUND: &str = "NOT_FOUND";

/// A wrong request, and the code and a part of the text of the answer.
struct Wrong {
    method: &'static str,
    payload: Vec<u8>,
    code: &'static str,
    says: &'static str,
}

impl Wrong {
    fn new<Q: Message>(
        method: &'static str,
        request: &Q,
        code: &'static str,
        says: &'static str,
    ) -> Result<Self> {
        Ok(Self {
            method,
            payload: request.write_to_bytes()?,
            code,
            says,
        })
    }
}

/// See the module.
pub(super) fn bad(context: &Context) -> Result<()> {
    let served = Served::start(context, "sleep 600")?;
    served.bundles(&[ID.to_owned(), "other".to_owned()])?;
    served.join(ID)?;
    let pid = served.run(ID)?;
    let bundle = format!("{}/other", served.shim.dir());
    let all = [creates(&bundle)?, execs()?, others()?, of_nobody()?];
    let mut wrong = Vec::new();
    for request in all.iter().flatten() {
        if let Err(error) = refused(&served, request) {
            wrong.push(format!("{error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing has happened.
    let state = served.state(ID)?;
    ensure!(state.pid == pid, "{state:?}");
    ensure!(
        served.exec(ID, "exit 3")? == 3,
        "it cannot be used any more"
    );
    ensure!(served.state("other").is_err(), "a wrong create left one");
    served.run("other").context("after wrong creates")?;
    for id in [ID, "other"] {
        served.kill(id, 9)?;
        ensure!(served.wait(id, "")? == 137, "its end");
        served.delete(id, "")?;
    }
    served.end()
}

fn refused(served: &Served, request: &Wrong) -> Result<()> {
    let Wrong {
        method,
        payload,
        code,
        says,
    } = request;
    let what = || {
        format!(
            "{method} {:?}",
            String::from_utf8_lossy(&payload[..payload.len().min(200)])
        )
    };
    match served.shim.call_bytes(method, payload.clone()) {
        Ok(_) => bail!("{} is taken", what()),
        Err(refusal) => ensure!(
            refusal.code == *code && refusal.message.contains(says),
            "{} is refused by {refusal}, not by {code} and {says:?}",
            what()
        ),
    }
    Ok(())
}

/// Texts that are no id.
fn no_ids() -> Vec<String> {
    let mut ids = ["", ".", "..", "a/b", "../../c", "/", "a\0b", "--help"]
        .map(str::to_owned)
        .to_vec();
    ids.push("x".repeat(256));
    ids.push("x".repeat(1 << 20));
    ids
}

fn any(type_url: &str, value: Vec<u8>) -> MessageField<Any> {
    MessageField::some(Any {
        type_url: type_url.to_owned(),
        value,
        ..Any::default()
    })
}

fn creates(bundle: &str) -> Result<Vec<Wrong>> {
    const OPTIONS: &str = "containerd.runc.v1.Options";
    let mut all = Vec::new();
    let mut add = |says, change: &dyn Fn(&mut CreateTaskRequest)| {
        let mut request = CreateTaskRequest {
            id: "other".to_owned(),
            bundle: bundle.to_owned(),
            ..CreateTaskRequest::default()
        };
        change(&mut request);
        Wrong::new("Create", &request, INVALID, says).map(|wrong| all.push(wrong))
    };
    for id in no_ids() {
        add("id of the request", &|it| id.clone_into(&mut it.id))?;
    }
    for path in ["", "relative", "/srv/a\0b"] {
        add("bundle of the request", &|it| {
            path.clone_into(&mut it.bundle);
        })?;
    }
    add("checkpoint of the request", &|it| {
        it.checkpoint = "/\0".into();
    })?;
    add("rootfs of the request", &|it| {
        it.rootfs.push(containerd_shim_protos::api::Mount {
            type_: "bind\0".into(),
            ..Default::default()
        });
    })?;
    for uri in [
        "ftp://host/f",
        "file://",
        "binary://?a=b",
        "/a\0b",
        "binary:///a%00",
    ] {
        add("as stdout", &|it| uri.clone_into(&mut it.stdout))?;
        add("as stderr", &|it| uri.clone_into(&mut it.stderr))?;
        add("as stdin", &|it| uri.clone_into(&mut it.stdin))?;
    }
    add("as stdin", &|it| it.stdin = "file:///f".into())?;
    add("no.such.Options", &|it| {
        it.options = any("no.such.Options", Vec::new());
    })?;
    add(OPTIONS, &|it| it.options = any(OPTIONS, vec![0xff; 9]))?;
    let options = Options {
        binary_name: "runc\0".to_owned(),
        ..Options::default()
    }
    .write_to_bytes()?;
    add("options of the request", &|it| {
        it.options = any(OPTIONS, options.clone());
    })?;
    Ok(all)
}

fn execs() -> Result<Vec<Wrong>> {
    let mut all = Vec::new();
    let mut add = |says, change: &dyn Fn(&mut ExecProcessRequest)| {
        let mut request = ExecProcessRequest {
            id: ID.to_owned(),
            exec_id: "wrong".to_owned(),
            spec: any("", b"{}".to_vec()),
            ..ExecProcessRequest::default()
        };
        change(&mut request);
        Wrong::new("Exec", &request, INVALID, says).map(|wrong| all.push(wrong))
    };
    for id in no_ids() {
        add("exec_id of the request", &|it| {
            id.clone_into(&mut it.exec_id);
        })?;
    }
    for spec in ["", "3", "[]", "null", "{", "{\"args\":"] {
        add("spec of the request", &|it| it.spec = any("", spec.into()))?;
    }
    let deep = "[".repeat(1 << 16);
    add("spec of the request", &|it| {
        it.spec = any("", deep.clone().into());
    })?;
    add("spec of the request", &|it| it.spec = MessageField::none())?;
    add("as stdout", &|it| it.stdout = "ftp://host/f".into())?;
    add("as stdin", &|it| it.stdin = "binary:///f".into())?;
    Ok(all)
}

fn others() -> Result<Vec<Wrong>> {
    const OPTIONS: &str = "containerd.runc.v1.CheckpointOptions";
    let mut all = Vec::new();
    for signal in [65, 1 << 31, u32::MAX] {
        let request = KillRequest {
            id: ID.to_owned(),
            signal,
            ..KillRequest::default()
        };
        all.push(Wrong::new("Kill", &request, INVALID, "signal")?);
    }
    let options = CheckpointOptions {
        work_path: "\0".to_owned(),
        ..CheckpointOptions::default()
    };
    let options = options.write_to_bytes()?;
    for (path, options, says) in [
        ("", MessageField::none(), "path of the request"),
        ("/srv/\0", MessageField::none(), "path of the request"),
        ("/srv/i", any("no.such.Options", vec![1]), "no.such.Options"),
        ("/srv/i", any(OPTIONS, vec![0xff; 9]), OPTIONS),
        ("/srv/i", any(OPTIONS, options), "options of the request"),
    ] {
        let request = CheckpointTaskRequest {
            id: ID.to_owned(),
            path: path.to_owned(),
            options,
            ..CheckpointTaskRequest::default()
        };
        all.push(Wrong::new("Checkpoint", &request, INVALID, says)?);
    }
    for resources in ["", "3", "[]", "{"] {
        let request = UpdateTaskRequest {
            id: ID.to_owned(),
            resources: any("", resources.into()),
            ..UpdateTaskRequest::default()
        };
        all.push(Wrong::new(
            "Update",
            &request,
            INVALID,
            "resources of the request",
        )?);
    }
    Ok(all)
}

/// Each request of a container that there is not, and of a process.
fn of_nobody() -> Result<Vec<Wrong>> {
    let mut all = Vec::new();
    // Of a long one the answer has only the beginning.
    let mut ids = no_ids();
    ids.retain(|id| id.len() < 1 << 10);
    ids.push("nobody".to_owned());
    for id in ids {
        macro_rules! add {
            ($($method:literal $request:ident,)*) => {$(
                let request = $request { id: id.clone(), ..$request::default() };
                let says = "does not exist";
                all.push(Wrong::new($method, &request, NOT_FOUND, says)?);
            )*};
        }
        add! {
            "State" StateRequest, "Start" StartRequest, "Delete" DeleteRequest,
            "Exec" ExecProcessRequest, "Kill" KillRequest, "Pause" PauseRequest,
            "Resume" ResumeRequest, "Checkpoint" CheckpointTaskRequest, "Update" UpdateTaskRequest,
            "Wait" WaitRequest, "Pids" PidsRequest, "ResizePty" ResizePtyRequest,
            "CloseIO" CloseIORequest, "Stats" StatsRequest,
        }
        if id.is_empty() {
            // As an exec's it means the init.
            continue;
        }
        macro_rules! add_exec {
            ($($method:literal $request:ident,)*) => {$(
                let request = $request {
                    id: ID.to_owned(), exec_id: id.clone(), ..$request::default()
                };
                let says = "does not exist";
                all.push(Wrong::new($method, &request, NOT_FOUND, says)?);
            )*};
        }
        add_exec! {
            "State" StateRequest, "Start" StartRequest, "Delete" DeleteRequest,
            "Kill" KillRequest, "Wait" WaitRequest, "ResizePty" ResizePtyRequest,
            "CloseIO" CloseIORequest,
        }
    }
    Ok(all)
}
