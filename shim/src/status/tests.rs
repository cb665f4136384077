use super::*;

const ALL: [Status; 12] = [
    Status::Created,
    Status::Starting,
    Status::Running,
    Status::Pausing,
    Status::Paused,
    Status::Resuming,
    Status::Planning,
    Status::Checkpointing { paused: false },
    Status::Checkpointing { paused: true },
    Status::Stopped,
    Status::Deleting,
    Status::Deleted,
];
const OPS: [Op; 9] = [
    Op::Start,
    Op::Pause,
    Op::Resume,
    Op::Checkpoint,
    Op::Plan { freeze: false },
    Op::Plan { freeze: true },
    Op::Delete,
    Op::Exec,
    Op::Update,
];

#[test]
fn nothing_disturbs_a_dump_or_the_dead() {
    for op in OPS {
        for status in [
            Status::Checkpointing { paused: true },
            Status::Checkpointing { paused: false },
            Status::Deleting,
            Status::Deleted,
        ] {
            assert_eq!(admit(status, op), Admission::Refuse, "{op} {status}");
        }
    }
}

#[test]
fn each_operation_has_its_states() {
    let allowed = |op| {
        ALL.into_iter()
            .filter(|status| matches!(admit(*status, op), Admission::Alone(_) | Admission::Beside))
            .collect::<Vec<_>>()
    };
    assert_eq!(allowed(Op::Start), [Status::Created]);
    assert_eq!(allowed(Op::Pause), [Status::Running]);
    assert_eq!(allowed(Op::Resume), [Status::Paused]);
    assert_eq!(allowed(Op::Checkpoint), [Status::Running, Status::Paused]);
    for freeze in [false, true] {
        let plan = Op::Plan { freeze };
        assert_eq!(allowed(plan), [Status::Running, Status::Paused]);
    }
    assert_eq!(allowed(Op::Delete), [Status::Created, Status::Stopped]);
    assert_eq!(allowed(Op::Exec), [Status::Created, Status::Running]);
    assert_eq!(
        allowed(Op::Update),
        [Status::Created, Status::Running, Status::Paused]
    );
}

#[tokio::test]
async fn a_failed_operation_leaves_the_state_before() {
    let machine = Machine::created();
    machine
        .begin(Op::Start)
        .await
        .unwrap()
        .commit(Status::Running);
    drop(machine.begin(Op::Checkpoint).await.unwrap());
    assert_eq!(machine.status(), Status::Running);
    machine
        .begin(Op::Pause)
        .await
        .unwrap()
        .commit(Status::Paused);
    drop(machine.begin(Op::Checkpoint).await.unwrap());
    assert_eq!(machine.status(), Status::Paused);
}

#[tokio::test]
async fn an_exit_wins() {
    let machine = Machine::created();
    machine
        .begin(Op::Start)
        .await
        .unwrap()
        .commit(Status::Running);
    let permit = machine.begin(Op::Pause).await.unwrap();
    machine.settle().await;
    machine.stop();
    permit.commit(Status::Paused);
    assert_eq!(machine.status(), Status::Stopped);
    let refused = machine.begin(Op::Resume).await.unwrap_err();
    assert_eq!(refused.status, Status::Stopped);
}

#[tokio::test]
async fn changes_wait_for_what_runs_beside() {
    let machine = Machine::created();
    machine
        .begin(Op::Start)
        .await
        .unwrap()
        .commit(Status::Running);
    let exec = machine.begin(Op::Exec).await.unwrap();
    let dump = machine.begin(Op::Checkpoint);
    tokio::pin!(dump);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(20), &mut dump)
            .await
            .is_err()
    );
    drop(exec);
    let dump = dump.await.unwrap();
    assert_eq!(machine.begin(Op::Exec).await.unwrap_err().op, Op::Exec);
    drop(dump);
    assert_eq!(machine.status(), Status::Running);
}

#[tokio::test]
async fn a_look_at_a_frozen_container_is_alone_and_one_at_a_running_one_is_not() {
    let machine = Machine::created();
    let start = machine.begin(Op::Start).await.unwrap();
    start.commit(Status::Running);
    let look = machine.begin(Op::Plan { freeze: false }).await.unwrap();
    assert_eq!(machine.status(), Status::Running);
    let exec = machine.begin(Op::Exec).await.unwrap();
    drop((look, exec));
    let look = machine.begin(Op::Plan { freeze: true }).await.unwrap();
    assert_eq!(machine.status(), Status::Planning);
    assert_eq!(look.before(), Status::Running);
    let pause = machine.begin(Op::Pause);
    tokio::pin!(pause);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(20), &mut pause)
            .await
            .is_err()
    );
    drop(look);
    drop(pause.await.unwrap());
    assert_eq!(machine.status(), Status::Running);
}

#[tokio::test]
async fn an_exit_is_held_back_during_a_start() {
    let machine = Machine::created();
    let start = machine.begin(Op::Start).await.unwrap();
    let settle = machine.settle();
    tokio::pin!(settle);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(20), &mut settle)
            .await
            .is_err()
    );
    start.commit(Status::Running);
    settle.await;
}
