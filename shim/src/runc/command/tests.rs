//! The command lines.

use super::*;

fn line(call: &Call) -> String {
    call.argv("c1")
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

fn create() -> CreateArgs {
    CreateArgs {
        bundle: "/b".into(),
        pid_file: "/b/init.pid".into(),
        ..CreateArgs::default()
    }
}

#[test]
fn plain_commands() {
    assert_eq!(line(&Call::Start), "start c1");
    assert_eq!(line(&Call::Pause), "pause c1");
    assert_eq!(line(&Call::Resume), "resume c1");
    assert_eq!(line(&Call::State), "state c1");
    assert_eq!(line(&Call::Ps), "ps --format json c1");
    assert_eq!(line(&Call::Delete { force: false }), "delete c1");
    assert_eq!(line(&Call::Delete { force: true }), "delete --force c1");
}

#[test]
fn the_signal_follows_the_id() {
    let kill = |all| Call::Kill {
        signal: Signal::new(34).unwrap(),
        all,
    };
    assert_eq!(line(&kill(false)), "kill c1 34");
    assert_eq!(line(&kill(true)), "kill --all c1 34");
}

#[test]
fn create_says_only_what_is_asked() {
    assert_eq!(
        line(&Call::Create(create())),
        "create --bundle /b --pid-file /b/init.pid c1"
    );
    let all = CreateArgs {
        console_socket: Some("/s".into()),
        no_pivot: true,
        no_new_keyring: true,
        ..create()
    };
    assert_eq!(
        line(&Call::Create(all)),
        "create --bundle /b --pid-file /b/init.pid --console-socket /s --no-pivot \
         --no-new-keyring c1"
    );
}

#[test]
fn exec_is_detached() {
    let args = ExecArgs {
        process: "/p.json".into(),
        pid_file: "/p.pid".into(),
        console_socket: None,
    };
    assert_eq!(
        line(&Call::Exec(args)),
        "exec --process /p.json --pid-file /p.pid --detach c1"
    );
}

#[test]
fn checkpoint_maps_every_option() {
    let plain = CheckpointArgs {
        image_path: "/i".into(),
        work_path: "/w".into(),
        ..CheckpointArgs::default()
    };
    assert_eq!(
        line(&Call::Checkpoint(plain.clone())),
        "checkpoint --image-path /i --work-path /w c1"
    );
    let all = CheckpointArgs {
        parent_path: Some("../p".into()),
        leave_running: true,
        criu: CriuFlags {
            tcp_established: true,
            ext_unix_sk: true,
            shell_job: true,
            file_locks: true,
            empty_namespaces: vec!["network".into()],
            cgroups_mode: Some("strict".into()),
        },
        ..plain
    };
    assert_eq!(
        line(&Call::Checkpoint(all)),
        "checkpoint --image-path /i --work-path /w --parent-path ../p --leave-running \
         --tcp-established --ext-unix-sk --shell-job --file-locks \
         --manage-cgroups-mode strict --empty-ns network c1"
    );
}

#[test]
fn restore_is_detached_and_no_subreaper() {
    let args = |kind| RestoreArgs {
        create: CreateArgs {
            no_pivot: true,
            no_new_keyring: true,
            ..create()
        },
        image_path: "/i".into(),
        work_path: "/w".into(),
        criu: CriuFlags {
            file_locks: true,
            ..CriuFlags::default()
        },
        kind,
    };
    assert_eq!(
        line(&Call::Restore(args(Kind::Runc))),
        "restore --image-path /i --work-path /w --detach --bundle /b \
         --pid-file /b/init.pid --no-subreaper --no-pivot --file-locks c1"
    );
    let crun = Kind::Crun {
        criu: true,
        config: false,
    };
    let call = Call::Restore(args(crun));
    assert_eq!(
        line(&call),
        "restore --image-path /i --work-path /w --detach --bundle /b \
         --pid-file /b/init.pid --file-locks c1"
    );
    assert!(call.needs_environment());
    assert!(!Call::Restore(args(Kind::Runc)).needs_environment());
    assert_eq!(line(&Call::Version), "--version");
}
