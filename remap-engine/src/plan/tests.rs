mod ghosts;
mod policy;

use super::*;
use crate::intent::{Intent, LOSE_EXEC_SESSIONS};
use crate::mountmap::EphemeralReason;
use crate::ownership::OtherUser;
use crate::reconcile::{CarriedNames, add_staying};
use crate::scan::{Owner, ProcFile};
use proptest::prelude::*;

const MEMFD: Device = Device { major: 0, minor: 1 };

/// Mount id of `/proc`.
const PROC: u64 = 5;

/// No mount of the container: memfds lie there.
const MEMFD_MOUNT: u64 = 7;

fn mount(id: u64, destination: &str, fs_type: &str, class: MountClass) -> Mount {
    Mount {
        device: device(id),
        fs_type: fs_type.into(),
        ..Mount::tmpfs(id, destination, class)
    }
}

fn device(mount_id: u64) -> Device {
    Device {
        major: 0,
        minor: 100 + u32::try_from(mount_id).unwrap(),
    }
}

fn ephemeral() -> MountClass {
    MountClass::ExternalEphemeral {
        reason: EphemeralReason::NotTmpfs,
    }
}

fn scan_of(uses: Vec<FileUse>) -> Scan {
    let mounts = vec![
        mount(1, "/", "overlay", MountClass::Internal),
        mount(2, "/dev/shm", "tmpfs", MountClass::ExternalTmpfsPrivate),
        mount(3, "/tmp", "tmpfs", MountClass::Internal),
        mount(4, "/data", "ext4", ephemeral()),
        mount(PROC, "/proc", "proc", MountClass::Internal),
        mount(6, "/nfs", "nfs4", MountClass::ExternalPersistent),
    ];
    Scan {
        held_by_others: std::collections::HashMap::new(),
        names: Default::default(),
        proc_files: Default::default(),
        survivors: Default::default(),
        map: MountMap { mounts },
        nested: vec![],
        uses,
        exec_sessions: vec![],
        obstacles: vec![],
        memfd_device: MEMFD,
    }
}

fn held(mount_id: u64, inode: u64, links: u32, name: &str) -> FileUse {
    FileUse {
        pid: 7,
        kind: UseKind::Fd(3),
        device: device(mount_id),
        inode,
        mount_id,
        name: name.into(),
        links,
        size_bytes: 10,
        allocated_bytes: 4096,
        mode: 0o100_600,
    }
}

/// The plan of a scan whose names that look deleted are in the given state.
fn planned(scan: &Scan, state: impl Fn(&FileUse) -> NameState) -> RemapPlan {
    let mut scan = scan.clone();
    for one in &scan.uses {
        scan.names.note(one, &state);
    }
    plan(&scan)
}

fn gone(_: &FileUse) -> NameState {
    NameState::Gone
}

fn decision(file: FileUse, state: NameState) -> Option<Decision> {
    let plan = planned(&scan_of(vec![file]), |_| state);
    plan.files.into_iter().next().map(|file| file.decision)
}

#[test]
fn on_a_carried_tmpfs_every_named_inode_is_carried_and_a_nameless_one_is_a_ghost() {
    let linked = held(2, 9, 1, "/dev/shm/sem.Xy12 (deleted)");
    assert_eq!(decision(linked, NameState::Gone), Some(Decision::Carried));
    assert_eq!(
        decision(held(2, 9, 1, "/dev/shm/a"), NameState::Live),
        Some(Decision::Carried)
    );
    let ghost = held(2, 9, 0, "/dev/shm/a (deleted)");
    assert_eq!(decision(ghost, NameState::Gone), Some(Decision::Ghost));
}

#[test]
fn a_file_that_was_moved_out_of_its_mount_is_refused_with_and_without_names() {
    for links in [0, 1] {
        let file = held(2, 9, links, "/ (deleted)");
        let decision = decision(file, NameState::Outside);
        let Some(Decision::Unsupported { reason, remedy }) = decision else {
            panic!("{decision:?}");
        };
        assert!(reason.contains("/dev/shm") && remedy.contains("move it back"));
    }
}

#[test]
fn a_device_on_a_tmpfs_that_others_use_is_the_targets() {
    let mut device = held(2, 9, 1, "/dev/shm/null");
    device.mode = 0o020_666;
    let mut scan = scan_of(vec![device]);
    let decision = |scan: &Scan| plan(scan).files[0].decision.clone();
    assert_eq!(decision(&scan), Decision::Carried);
    scan.map.share(2, vec![]);
    scan.held_by_others.insert(2, [(9, 4)].into());
    assert_eq!(decision(&scan), Decision::Stays);
    let mut names = CarriedNames::new();
    add_staying(&mut names, &plan(&scan));
    assert_eq!(names[&2], [PathBuf::from("null")].into());
    scan.uses[0].mode = 0o100_600;
    assert_eq!(decision(&scan), Decision::Shared);
}

#[test]
fn elsewhere_a_gone_name_with_living_links_is_refused_unless_criu_dumps_the_tmpfs() {
    let on = |mount_id| decision(held(mount_id, 9, 1, "/x (deleted)"), NameState::Gone);
    for mount_id in [1, 4, 6] {
        assert!(
            matches!(on(mount_id), Some(Decision::Unsupported { .. })),
            "{mount_id}"
        );
    }
    assert_eq!(on(3), Some(Decision::Linked));
}

#[test]
fn elsewhere_a_name_that_lives_helps_and_an_overlay_that_only_counts_one_makes_a_ghost() {
    let decided = |mount_id, survivor: Survivor| {
        let file = held(mount_id, 9, 1, "/x (deleted)");
        let mut scan = scan_of(vec![file.clone()]);
        scan.survivors.note((file.device, file.inode), survivor);
        planned(&scan, gone).files.remove(0).decision
    };
    for mount_id in [1, 4, 6] {
        let relinked = Decision::Relinked {
            survivor: "/y".into(),
        };
        assert_eq!(decided(mount_id, Survivor::Name("/y".into())), relinked);
        assert_eq!(decided(mount_id, Survivor::Nothing), Decision::Ghost);
        let unknown = decided(mount_id, Survivor::Unknown("nobody knows".into()));
        let Decision::Unsupported { reason, .. } = unknown else {
            panic!("{unknown:?}");
        };
        assert!(reason.contains("nobody knows"), "{reason}");
    }
}

#[test]
fn named_files_need_nothing_on_the_root_and_must_exist_on_the_target_elsewhere() {
    assert_eq!(decision(held(1, 9, 1, "/bin/x"), NameState::Live), None);
    assert_eq!(
        decision(held(4, 9, 1, "/data/x"), NameState::Live),
        Some(Decision::Stays)
    );
    assert_eq!(
        decision(held(6, 9, 1, "/nfs/x"), NameState::Live),
        Some(Decision::Stays)
    );
}

#[test]
fn a_name_that_only_looks_deleted_is_told_apart() {
    let real = held(4, 9, 1, "/data/x (deleted)");
    assert_eq!(
        decision(real.clone(), NameState::Live),
        Some(Decision::Stays)
    );
    let refused = |mount_id, state| {
        let file = held(mount_id, 9, 1, "/x (deleted)");
        matches!(decision(file, state), Some(Decision::Unsupported { .. }))
    };
    // On a tmpfs CRIU can make a name.
    for (mount_id, expected) in [(1, true), (2, false), (3, false), (4, true), (6, true)] {
        assert_eq!(refused(mount_id, NameState::Stale), expected, "{mount_id}");
    }
    // Here it gives up before that.
    for state in [NameState::Taken, NameState::NoWay, NameState::NoAnswer] {
        assert!(
            (1..=4).all(|mount_id| refused(mount_id, state)),
            "{state:?}"
        );
        let ghost = decision(held(2, 9, 0, "/x (deleted)"), state);
        assert_eq!(ghost, Some(Decision::Ghost));
    }
}

#[test]
fn a_memfd_is_told_by_its_device_and_not_by_its_name() {
    let mut memfd = held(99, 9, 0, "/memfd:x (deleted)");
    memfd.device = MEMFD;
    assert_eq!(
        decision(memfd.clone(), NameState::Gone),
        Some(Decision::Memfd)
    );
    let real = held(2, 9, 0, "/memfd:x (deleted)");
    assert_eq!(decision(real, NameState::Gone), Some(Decision::Ghost));
    memfd.kind = UseKind::Exe;
    let program = decision(memfd, NameState::Gone);
    assert!(matches!(program, Some(Decision::Unsupported { .. })));
}

#[test]
fn a_file_of_a_process_that_has_ended_has_a_helper() {
    let one = held(PROC, 9, 1, "/proc/20/mountinfo");
    let mut scan = scan_of(vec![one.clone(), held(PROC, 8, 1, "/proc/meminfo")]);
    let file = ProcFile {
        number: 20,
        thread: None,
        is_there: false,
        owner: Owner::Nobody,
        looks_deleted: false,
        has_helper: true,
    };
    scan.proc_files.insert(&one, file);
    let plan = plan(&scan);
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.files[0].decision, Decision::Procfs);
}

#[test]
fn sockets_and_pipes_are_not_files() {
    assert_eq!(
        decision(held(99, 9, 1, "socket:[9]"), NameState::Live),
        None
    );
}

#[test]
fn one_inode_held_in_two_ways_is_one_decision() {
    let mut peer = held(2, 9, 1, "/dev/shm/sem.a");
    peer.pid = 8;
    let plan = planned(
        &scan_of(vec![held(2, 9, 1, "/dev/shm/sem.Xy (deleted)"), peer]),
        gone,
    );
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.files[0].holders.len(), 2);
    assert_eq!(plan.files[0].decision, Decision::Carried);
}

fn limit(bytes: u64) -> Intent {
    Intent {
        ghost_limit_bytes: Some(bytes),
        ..Intent::default()
    }
}

#[test]
fn the_ghost_limit_fits_the_largest_ghost_and_a_users_limit_is_respected() {
    let mut big = held(2, 9, 0, "/dev/shm/a (deleted)");
    big.allocated_bytes = 5 << 20;
    let plan = planned(&scan_of(vec![big]), gone);
    assert_eq!(plan.ghost_limit_bytes, 5 << 20);
    assert_eq!(plan.refusals(&Intent::default()), vec![]);
    assert_eq!(plan.refusals(&limit(5 << 20)), vec![]);
    let refused = plan.refusals(&limit(1 << 20));
    assert!(
        refused[0]
            .what
            .contains("pid 7 by fd 3 on /dev/shm/a (deleted)"),
        "{refused:?}"
    );
}

#[test]
fn a_shared_tmpfs_is_refused_by_name_of_its_users() {
    let mut scan = scan_of(vec![
        held(2, 9, 1, "/dev/shm/a"),
        held(2, 10, 1, "/dev/shm/own"),
        held(2, 11, 0, "/dev/shm/ghost (deleted)"),
    ]);
    share(&mut scan, &[(42, 9), (43, 12)]);
    let plan = planned(&scan, gone);
    let decisions: Vec<_> = plan.files.iter().map(|file| &file.decision).collect();
    use Decision::{Carried, Ghost, Shared};
    assert_eq!(decisions, [&Shared, &Carried, &Ghost]);
    let refused = plan.refusals(&Intent::default());
    assert_eq!(refused.len(), 1);
    let text = refused[0].to_string();
    assert!(
        text.contains("pid 42 (postgres, container other)"),
        "{text}"
    );
    assert!(
        text.contains("/dev/shm/a") && !text.contains("pid 43"),
        "{text}"
    );
}

#[test]
fn of_a_shared_tmpfs_the_containers_own_inodes_are_carried() {
    let mut scan = scan_of(vec![
        held(2, 9, 2, "/dev/shm/a (deleted)"),
        held(2, 9, 2, "/dev/shm/b"),
        held(2, 1, 3, "/dev/shm"),
    ]);
    scan.uses[2].mode = 0o041_777;
    share(&mut scan, &[(42, 7), (42, 1)]);
    let plan = planned(&scan, gone);
    assert_eq!(plan.refusals(&Intent::default()), vec![]);
    let parts: Vec<_> = plan.carried_in_part().collect();
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].0.id, &parts[0].1), (2, &HashSet::from([1, 9])));
    assert_eq!(plan.map.carried().filter(|mount| mount.id == 2).count(), 0);
}

/// Others, by pid, hold inodes of the tmpfs on `/dev/shm`.
fn share(scan: &mut Scan, others: &[(i32, u64)]) {
    let user = |(pid, inode): &(i32, u64)| OtherUser {
        along: Default::default(),
        pid: *pid,
        command: "postgres".into(),
        cgroup: "/default/other".into(),
        container: (*pid == 42).then(|| "other".into()),
        kind: UseKind::Fd(5),
        inode: *inode,
        file: format!("/dev/shm/of-{pid}"),
    };
    scan.map.share(2, others.iter().map(user).collect());
    let held = others.iter().map(|(pid, inode)| (*inode, *pid));
    scan.held_by_others.insert(2, held.collect());
}

#[test]
fn a_shared_tmpfs_of_which_the_container_uses_nothing_is_not_in_the_way() {
    let mut scan = scan_of(vec![]);
    share(&mut scan, &[(42, 7)]);
    let plan = planned(&scan, gone);
    assert_eq!(plan.refusals(&Intent::default()), vec![]);
    assert_eq!(plan.carried_in_part().count(), 0);
}

#[test]
fn exec_sessions_are_in_the_way_of_an_exit_only() {
    let exit = Intent {
        exit: true,
        ..Intent::default()
    };
    let mut scan = scan_of(vec![]);
    assert_eq!(planned(&scan, gone).refusals(&exit), vec![]);
    scan.exec_sessions.push(ExecSession {
        pid: 9,
        command: "bash".into(),
    });
    let plan = planned(&scan, gone);
    assert_eq!(plan.refusals(&Intent::default()), vec![]);
    let refused = plan.refusals(&exit);
    let refusal = refused[0].to_string();
    assert!(refusal.contains("pid 9 (bash)") && refusal.contains(LOSE_EXEC_SESSIONS));
    let mut allowed = exit;
    allowed.policy.lose_exec_sessions = true;
    assert_eq!(plan.refusals(&allowed), vec![]);
}

#[test]
fn the_plan_survives_its_json_form() {
    let mut odd = held(2, 9, 0, "/dev/shm/a (deleted)");
    odd.name = std::os::unix::ffi::OsStringExt::from_vec(b"/dev/shm/\xff\\ (deleted)".to_vec());
    let plan = planned(&scan_of(vec![odd]), gone);
    let read: RemapPlan = serde_json::from_slice(&plan.to_json().unwrap()).unwrap();
    assert_eq!(read, plan);
}

#[test]
fn obstacles_are_in_the_plan_and_forbid_a_checkpoint_by_what_is_known_of_criu() {
    let mut scan = scan_of(vec![]);
    scan.obstacles.push(Obstacle {
        kind: Kind::FileLock,
        holders: vec![crate::obstacle::Holder {
            pid: 7,
            command: "app".into(),
            by: Some(UseKind::Fd(3)),
            name: "/a (FLOCK)".into(),
        }],
    });
    let plan = planned(&scan, gone);
    let mut intent = Intent::default();
    assert_eq!(plan.refusals(&intent), vec![]);
    intent.criu = Some(crate::criu::version::CriuVersion::new(4, 1));
    let refused = plan.refusals(&intent)[0].to_string();
    assert!(
        refused.contains("pid 7 (app) by fd 3 on /a (FLOCK)") && refused.contains("file-locks")
    );
    intent.options.file_locks = true;
    assert_eq!(plan.refusals(&intent), vec![]);

    let read: RemapPlan = serde_json::from_slice(&plan.to_json().unwrap()).unwrap();
    assert_eq!(read, plan);
}

#[test]
fn a_plan_of_a_build_that_knew_no_obstacles_is_read() {
    let plan = planned(&scan_of(vec![]), gone);
    let mut old: serde_json::Value = serde_json::from_slice(&plan.to_json().unwrap()).unwrap();
    assert!(old.as_object_mut().unwrap().remove("obstacles").is_some());
    let read: RemapPlan = serde_json::from_value(old).unwrap();
    assert_eq!(read, plan);
}

fn any_use() -> impl Strategy<Value = FileUse> {
    let names = prop::sample::select(vec!["/a", "/a (deleted)", "/memfd:a (deleted)", "pipe:[1]"]);
    (1u64..=7, 1u64..=6, names).prop_map(|(mount_id, inode, name)| {
        // The number of names belongs to the inode, whoever looks at it.
        let links = u32::try_from(inode % 3).unwrap();
        let mut one = held(mount_id, inode, links, name);
        if mount_id == MEMFD_MOUNT {
            one.device = MEMFD;
        }
        one
    })
}

proptest! {
    /// Whatever is held: each inode has at most one decision, every nameless file is accounted
    /// for, and the same scan gives the same plan.
    #[test]
    fn every_inode_has_one_decision(uses in prop::collection::vec(any_use(), 0..30)) {
        let scan = scan_of(uses.clone());
        let made = planned(&scan, gone);
        let mut keys: Vec<_> = made.files.iter().map(|file| (file.device, file.inode)).collect();
        let count = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), count);
        let nameless = |one: &&FileUse| one.links == 0 && ![PROC, MEMFD_MOUNT].contains(&one.mount_id);
        for one in uses.iter().filter(|one| is_path(one)).filter(nameless) {
            let found = made.files.iter().any(|file| (file.device, file.inode) == (one.device, one.inode));
            prop_assert!(found, "{:?}", one);
        }
        prop_assert_eq!(planned(&scan, gone), made);
    }
}

#[test]
fn the_plan_of_the_first_builds_is_understood() {
    let text = include_bytes!("../../testdata/notes-1/plan.json");
    let plan: RemapPlan = serde_json::from_slice(text).unwrap();
    assert_eq!(plan.version, 1);
    assert_eq!(plan.files[0].decision, Decision::Carried);
    assert_eq!(plan.map.carried().count(), 1);
}
