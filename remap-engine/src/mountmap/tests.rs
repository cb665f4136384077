use super::*;
use crate::bundle::{Bundle, BundleMount};
use crate::mountinfo::{self, MountEntry};
use crate::policy::Override;

const MOUNTINFO: &[u8] = b"\
10 1 0:40 / / rw - overlay overlay rw
11 10 0:41 / /proc rw - proc proc rw
12 10 0:42 / /dev rw - tmpfs tmpfs rw
13 12 0:43 / /dev/shm rw - tmpfs shm rw,size=65536k
14 10 8:1 /data /data rw - ext4 /dev/sda1 rw
15 14 0:44 / /data/ram rw - tmpfs tmpfs rw
16 10 0:45 / /secrets ro - tmpfs tmpfs rw
17 10 0:46 /x.sock /x.sock rw - tmpfs tmpfs rw
18 10 0:47 / /share rw - nfs4 server:/x rw
19 13 0:48 / /dev/shm/own rw - tmpfs tmpfs rw
20 10 0:49 / /token rw - tmpfs tmpfs rw
21 10 0:50 / /stack rw - tmpfs shm rw
22 21 0:51 / /stack rw - tmpfs tmpfs rw
23 10 0:52 / /covered rw - tmpfs tmpfs rw
24 23 0:53 / /covered rw - tmpfs tmpfs rw
25 10 0:54 / /run/app rw - tmpfs tmpfs rw
26 10 0:55 / /cg rw - tmpfs cgroup rw
27 14 0:57 / /data/own rw - tmpfs tmpfs rw
28 13 0:43 /late /dev/shm/late rw - tmpfs shm rw
29 10 0:58 / /twice rw - tmpfs tmpfs rw
30 29 0:59 / /twice rw - tmpfs tmpfs rw
33 14 0:40 / /data/root rw - overlay overlay rw
31 10 0:60 / /x/y rw - tmpfs tmpfs rw
32 10 0:61 / /x rw - tmpfs tmpfs rw
";

fn bind(destination: &str, source: &str) -> BundleMount {
    BundleMount {
        destination: destination.into(),
        bind_source: Some(source.into()),
    }
}

/// What the host has of it, and what is on a tmpfs of its own.
const HOST: &[u8] = b"\
90 1 8:1 / / rw - ext4 /dev/sda1 rw
91 90 0:44 / /srv/data/ram rw - tmpfs tmpfs rw
92 90 0:55 / /srv/cg rw - tmpfs cgroup rw
93 92 0:56 / /srv/cg/cpu rw - cgroup cgroup rw
95 90 0:40 / /srv/data/root rw - overlay overlay rw
94 90 0:43 /late /run/shm/a/late rw - tmpfs shm rw
";

fn host() -> HostMounts {
    HostMounts::new(mountinfo::parse(HOST).unwrap())
}

fn map() -> MountMap {
    let mountinfo = mountinfo::parse(MOUNTINFO).unwrap();
    MountMap::build(&bundle(), &mountinfo, &host(), &Files)
}

fn bundle() -> Bundle {
    Bundle {
        path: "/b".into(),
        mounts: vec![
            BundleMount {
                destination: "/dev".into(),
                bind_source: None,
            },
            bind("/dev/shm", "/run/shm/a"),
            BundleMount {
                destination: "/stack".into(),
                bind_source: None,
            },
            bind("/stack", "/run/stack"),
            bind("/covered", "/run/covered"),
            bind("/var/run/app", "/srv/app"),
            bind("/not-mounted", "/srv/none"),
            bind("/cg", "/srv/cg"),
            bind("/x/y", "/srv/y"),
            bind("/twice", "/srv/one"),
            bind("/twice", "/srv/two"),
            bind("/data", "/srv/data"),
            bind("/secrets", "/run/secrets"),
            bind("/x.sock", "/run/x.sock"),
            bind("/share", "/mnt/share"),
            bind(
                "/token",
                "/var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/t",
            ),
        ],
        annotations: Default::default(),
    }
}

/// The container's files: as in most images `/var/run` leads to `/run`.
struct Files;

impl View for Files {
    fn mount_at(&self, path: &Path) -> Option<u64> {
        let path = match path.strip_prefix("/var/run") {
            Ok(below) => Path::new("/run").join(below),
            Err(_) => path.to_owned(),
        };
        if path.starts_with("/x/") {
            return None;
        }
        let mountinfo = mountinfo::parse(MOUNTINFO).unwrap();
        let found = mountinfo.iter().rfind(|entry| entry.mount_point == path);
        found.map(|entry| entry.id)
    }

    fn is_directory(&self, entry: &MountEntry, _source: &Path) -> bool {
        entry.mount_point != Path::new("/x.sock")
    }
}

fn class(destination: &str) -> MountClass {
    let map = map();
    let found = map
        .mounts
        .iter()
        .find(|mount| mount.destination == Path::new(destination));
    found.unwrap().class.clone()
}

fn ephemeral(reason: EphemeralReason) -> MountClass {
    MountClass::ExternalEphemeral { reason }
}

#[test]
fn each_class_is_told() {
    assert_eq!(class("/"), MountClass::Internal);
    assert_eq!(class("/dev"), MountClass::Internal);
    assert_eq!(class("/dev/shm"), MountClass::ExternalTmpfsPrivate);
    assert_eq!(class("/data"), ephemeral(EphemeralReason::NotTmpfs));
    assert_eq!(class("/share"), MountClass::ExternalPersistent);
    assert_eq!(class("/secrets"), ephemeral(EphemeralReason::ReadOnly));
    assert_eq!(class("/x.sock"), ephemeral(EphemeralReason::SingleFile));
    assert_eq!(class("/token"), ephemeral(EphemeralReason::KubeletVolume));
}

#[test]
fn a_mount_below_a_bind_is_external_if_the_host_has_it_there() {
    let map = map();
    let along: Vec<u64> = map.along().map(|mount| mount.id).collect();
    // Also one that came by propagation, which needs no recursive bind.
    assert_eq!(along, [15, 28]);
    assert_eq!(class("/data/ram"), MountClass::ExternalTmpfsPrivate);
    assert_eq!(class("/dev/shm/own"), MountClass::Internal);
    assert_eq!(class("/data/own"), MountClass::Internal);
    assert_eq!(class("/data/root"), MountClass::Internal);
    let told = |id, path: &str| {
        let told = ExternalMount {
            key: path.into(),
            value: path.into(),
        };
        assert!(map.external().contains(&told), "{id}");
    };
    told(15, "/data/ram");
    told(28, "/dev/shm/late");
}

#[test]
fn the_tmpfs_of_control_groups_is_never_carried() {
    let reason = EphemeralReason::ControlGroups;
    assert_eq!(class("/cg"), ephemeral(reason));
}

#[test]
fn of_two_binds_at_one_place_the_lower_one_is_covered() {
    let map = map();
    let reason = EphemeralReason::Covered;
    assert_eq!(map.by_id(29).unwrap().class, ephemeral(reason));
    assert_eq!(map.by_id(29).unwrap().source, Some("/srv/one".into()));
    assert_eq!(map.by_id(30).unwrap().source, Some("/srv/two".into()));
    assert!(map.by_id(30).unwrap().is_carried());
}

#[test]
fn a_destination_that_leads_through_a_symbolic_link_is_found() {
    let map = map();
    let mount = map.by_id(25).unwrap();
    assert_eq!(mount.class, MountClass::ExternalTmpfsPrivate);
    assert_eq!(mount.source, Some("/srv/app".into()));
    assert_eq!(mount.asked_for, Some("/var/run/app".into()));
}

#[test]
fn mounts_of_the_bundle_lie_under_those_that_the_container_made() {
    let map = map();
    assert_eq!(map.by_id(23).unwrap().source, Some("/run/covered".into()));
    assert_eq!(map.by_id(24).unwrap().class, MountClass::Internal);
    assert!(map.by_id(24).unwrap().upon_bind);
    let upon = map.mounts.iter().filter(|mount| mount.upon_bind);
    assert_eq!(upon.count(), 1);
}

#[test]
fn a_bind_below_something_that_covers_it_is_found() {
    let map = map();
    assert_eq!(map.by_id(31).unwrap().source, Some("/srv/y".into()));
    assert!(map.by_id(31).unwrap().is_carried());
    assert_eq!(map.by_id(32).unwrap().class, MountClass::Internal);
}

#[test]
fn a_mountinfo_whose_parents_run_in_a_circle_ends() {
    let bundle = Bundle {
        path: "/b".into(),
        mounts: vec![],
        annotations: Default::default(),
    };
    let text = b"1 2 0:40 / / rw - tmpfs a rw\n2 1 0:41 / / rw - tmpfs a rw\n3 3 0:41 / / rw - tmpfs a rw\n";
    let mountinfo = mountinfo::parse(text).unwrap();
    assert_eq!(
        MountMap::build(&bundle, &mountinfo, &host(), &Files)
            .mounts
            .len(),
        3
    );
}

#[test]
fn of_stacked_mounts_only_the_uppermost_is_the_bind() {
    let map = map();
    assert_eq!(map.by_id(21).unwrap().class, MountClass::Internal);
    assert_eq!(
        map.by_id(22).unwrap().class,
        MountClass::ExternalTmpfsPrivate
    );
}

#[test]
fn the_source_of_a_mount_below_a_bind_lies_below_its_source() {
    let map = map();
    let source = |id| map.by_id(id).unwrap().source.clone();
    assert_eq!(source(15), Some("/srv/data/ram".into()));
    assert_eq!(source(13), Some("/run/shm/a".into()));
    assert_eq!(source(12), None);
}

#[test]
fn what_came_along_with_a_bind_is_carried_only_if_it_is_used() {
    let mut map = map();
    map.leave_unused(&[]);
    let reason = EphemeralReason::UnusedBelowBind;
    assert_eq!(map.by_id(15).unwrap().class, ephemeral(reason));
    assert!(map.by_id(13).unwrap().is_carried());
}

#[test]
fn a_shared_tmpfs_is_not_carried() {
    let mut map = map();
    assert_eq!(map.carried().count(), 8);
    map.share(13, vec![]);
    assert!(map.carried().all(|mount| mount.id != 13));
    assert!(map.by_id(13).unwrap().is_external());
}

fn meant_by(destination: &str, policy: MountPolicy) -> Vec<u64> {
    map().meant_by(&Override {
        destination: destination.into(),
        policy,
    })
}

#[test]
fn a_policy_means_mounts_by_either_of_their_names() {
    let carry = MountPolicy::Carry { limit_bytes: None };
    assert_eq!(meant_by("/dev/shm", carry), [13]);
    assert_eq!(meant_by("/var/run/app", carry), [25]);
    assert_eq!(meant_by("/run/app", carry), [25]);
    assert_eq!(meant_by("/dev/shm/own", carry), [19]);
    assert_eq!(meant_by("/not-mounted", carry), [0; 0]);
}

#[test]
fn of_stacked_mounts_a_policy_means_the_external_ones_unless_it_refuses() {
    let carry = MountPolicy::Carry { limit_bytes: None };
    assert_eq!(meant_by("/stack", carry), [22]);
    assert_eq!(meant_by("/covered", carry), [23]);
    assert_eq!(meant_by("/covered", MountPolicy::Refuse), [23, 24]);
}

#[test]
fn a_policy_is_noted_on_the_mount_and_in_its_json() {
    let mut map = map();
    let plain = serde_json::to_string(&map).unwrap();
    assert!(!plain.contains("policy"), "{plain}");
    map.apply(&[Override {
        destination: "/dev/shm".into(),
        policy: MountPolicy::Carry {
            limit_bytes: Some(7),
        },
    }]);
    let json = serde_json::to_value(&map).unwrap();
    let expected = serde_json::json!({"treatment": "carry", "limit_bytes": 7});
    assert_eq!(json["mounts"][3]["policy"], expected);
    assert_eq!(serde_json::from_value::<MountMap>(json).unwrap(), map);
    let old: MountMap = serde_json::from_str(&plain).unwrap();
    assert!(old.mounts.iter().all(|mount| mount.policy.is_none()));
}
