use super::*;
use crate::plan::Decision;
use proptest::prelude::*;

const DEVICE: Device = Device { major: 0, minor: 9 };

const MOUNT: u64 = 43;

fn holder(by: UseKind, name: &str) -> Holder {
    Holder {
        pid: 7,
        by,
        name: name.into(),
    }
}

fn plan(inode: u64, holders: Vec<Holder>) -> FilePlan {
    FilePlan {
        device: DEVICE,
        inode,
        mount: None,
        links: 1,
        size_bytes: 1,
        allocated_bytes: 4096,
        holders,
        decision: Decision::GhostRelinked,
    }
}

fn seen(id: u32, path: &str, remap: Option<Remap>, inode: Option<u64>) -> Seen {
    Seen {
        file: DumpedFile {
            id,
            path: path.into(),
            mount_id: Some(MOUNT),
            remap,
            size_bytes: Some(1),
            mode: Some(0o100_600),
        },
        inode: inode.map(|inode| (DEVICE, inode)),
    }
}

fn linked(id: u32) -> Option<Remap> {
    Some(Remap::Linked(format!("dev/shm/link_remap.{id}").into()))
}

fn attributed(files: &[Seen], wanted: &[FilePlan]) -> Result<Vec<(u32, usize)>, Vec<Unattributed>> {
    attribute(files, wanted, &HashSet::from([MOUNT])).map(|found| found.into_iter().collect())
}

#[test]
fn every_file_of_an_inode_is_found_whatever_its_name() {
    let wanted = [plan(
        5,
        vec![
            holder(UseKind::Fd(3), "/dev/shm/a (deleted)"),
            holder(UseKind::Fd(4), "/dev/shm/b"),
            holder(UseKind::Mapping(1, 2), "/dev/shm/c"),
        ],
    )];
    let files = [
        seen(1, "dev/shm/a", linked(2), Some(5)),
        seen(3, "dev/shm/b", None, Some(5)),
    ];
    assert_eq!(attributed(&files, &wanted), Ok(vec![(1, 0), (3, 0)]));
}

#[test]
fn two_inodes_with_one_name_after_the_other_are_told_apart() {
    let wanted = [
        plan(5, vec![holder(UseKind::Fd(3), "/dev/shm/a (deleted)")]),
        plan(6, vec![holder(UseKind::Fd(4), "/dev/shm/a (deleted)")]),
        plan(8, vec![holder(UseKind::Fd(5), "/dev/shm/a")]),
    ];
    let files = [
        seen(1, "dev/shm/a", linked(2), Some(6)),
        seen(3, "dev/shm/a", linked(4), Some(5)),
        seen(9, "dev/shm/a", None, Some(8)),
        seen(10, "dev/shm/a", Some(Remap::Ghost(1)), Some(7)),
    ];
    assert_eq!(
        attributed(&files, &wanted),
        Ok(vec![(1, 1), (3, 0), (9, 2)])
    );
}

#[test]
fn a_name_that_ends_like_a_deleted_one_is_a_name() {
    let wanted = [
        plan(5, vec![holder(UseKind::Fd(3), "/dev/shm/a (deleted)")]),
        plan(6, vec![holder(UseKind::Fd(4), "/dev/shm/a")]),
    ];
    // The first lives by that name: CRIU does not strip it.
    let files = [
        seen(1, "dev/shm/a (deleted)", None, Some(5)),
        seen(2, "dev/shm/a", None, Some(6)),
    ];
    assert_eq!(attributed(&files, &wanted), Ok(vec![(1, 0), (2, 1)]));
}

#[test]
fn a_name_that_has_moved_to_another_inode_is_noticed() {
    let wanted = [
        plan(5, vec![holder(UseKind::Mapping(1, 2), "/dev/shm/a")]),
        plan(6, vec![holder(UseKind::Mapping(3, 4), "/dev/shm/b")]),
    ];
    let both = [
        seen(1, "dev/shm/a", None, Some(6)),
        seen(2, "dev/shm/b", None, Some(6)),
    ];
    let wrong = attributed(&both, &wanted).unwrap_err();
    assert!(
        wrong[0].to_string().contains("held by other names"),
        "{wrong:?}"
    );
    assert!(matches!(&wrong[1], Unattributed::Holder { inode: 5, .. }));
}

#[test]
fn what_leads_nowhere_or_is_not_known_is_an_error_that_lists_it() {
    let wanted = [plan(5, vec![holder(UseKind::Fd(3), "/dev/shm/a")])];
    let files = [
        seen(1, "dev/shm/a", None, None),
        seen(2, "dev/shm/x", None, Some(99)),
    ];
    let wrong = attributed(&files, &wanted).unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}

#[test]
fn directories_and_other_mounts_are_left_alone() {
    let mut directory = seen(1, "dev/shm", None, Some(1));
    directory.file.mode = Some(0o040_755);
    let mut elsewhere = seen(2, "etc/x", None, None);
    elsewhere.file.mount_id = Some(1);
    let mut link_remap = seen(3, "dev/shm/link_remap.3", None, Some(5));
    link_remap.file.mount_id = None;
    let files = [directory, elsewhere, link_remap];
    assert_eq!(attributed(&files, &[]), Ok(vec![]));
}

proptest! {
    /// Inodes with several names each, some of them gone: every file is found, and no file of one
    /// inode is another's.
    #[test]
    fn all_files_of_all_inodes_are_found(
        inodes in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..4), 0..6),
    ) {
        let (mut wanted, mut files, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut id = 0;
        for (index, names) in inodes.iter().enumerate() {
            let inode = index as u64 + 1;
            let mut holders = Vec::new();
            for (number, is_gone) in names.iter().enumerate() {
                id += 2;
                // The gone names are the same for all inodes.
                let name = if *is_gone { format!("gone-{number}") } else { format!("{index}-{number}") };
                let mark = if *is_gone { " (deleted)" } else { "" };
                holders.push(holder(UseKind::Fd(id), &format!("/dev/shm/{name}{mark}")));
                let remap = is_gone.then(|| linked(id + 1)).flatten();
                files.push(seen(id, &format!("dev/shm/{name}"), remap, Some(inode)));
                expected.push((id, index));
            }
            wanted.push(plan(inode, holders));
        }
        prop_assert_eq!(attributed(&files, &wanted), Ok(expected));
        // Without one of them the checkpoint must fail.
        for missing in 0..files.len() {
            let mut fewer = files.clone();
            fewer.remove(missing);
            prop_assert!(attributed(&fewer, &wanted).is_err());
        }
    }
}
