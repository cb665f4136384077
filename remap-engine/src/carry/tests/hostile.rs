//! Archives that are damaged, or were made to do harm.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::super::{ArchiveError, Flaw, read_index};
use super::snapshot::{assert_same, snapshot};
use super::trees::sample;
use super::*;

/// Writes members as they come: nothing is checked.
struct Hostile {
    tar: Builder<Vec<u8>>,
}

impl Hostile {
    fn new() -> Self {
        Self {
            tar: Builder::new(Vec::new()),
        }
        .member(b"./", EntryType::Directory, b"", b"")
    }

    fn member(self, name: &[u8], kind: EntryType, link: &[u8], data: &[u8]) -> Self {
        self.sized(name, kind, link, data, data.len() as u64)
    }

    fn sized(mut self, name: &[u8], kind: EntryType, link: &[u8], data: &[u8], size: u64) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header.set_cksum();
        self.tar.append(&header, data).unwrap();
        self
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.tar
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        self
    }

    fn dir(self, name: &[u8]) -> Self {
        self.member(name, EntryType::Directory, b"", b"")
    }

    fn file(self, name: &[u8]) -> Self {
        self.member(name, EntryType::Regular, b"", b"evil")
    }

    /// What populate says in both modes, having changed nothing.
    fn flaw(self) -> Flaw {
        let ground = Ground::new();
        sample(ground.target());
        fs::write(ground.archive(), self.tar.into_inner().unwrap()).unwrap();
        let before = snapshot(ground.target());
        for error in [ground.replace().unwrap_err(), ground.add().unwrap_err()] {
            assert!(matches!(error, PopulateError::Archive(_)), "{error}");
        }
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
        match read_index(&ground.archive()).unwrap_err() {
            ArchiveError::Malformed { flaw, .. } => flaw,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn names_that_lead_outside_are_refused() {
    for name in [
        &b"../x"[..],
        b"/tmp/x",
        b"a/../../x",
        b"..",
        b"a/..",
        b"./../x",
        b"a//b",
        b"a/./b",
        b"x/",
        b"",
    ] {
        let flaw = Hostile::new().dir(b"a").file(name).flaw();
        assert!(matches!(flaw, Flaw::Name(_)), "{name:?}: {flaw}");
    }
    for name in [
        &b"../x"[..],
        b"/x",
        b"a\0b",
        &[b'x'; 256],
        &b"y/".repeat(2048),
    ] {
        let flaw = Hostile::new().pax(&[("path", name)]).file(b"fine").flaw();
        assert!(matches!(flaw, Flaw::Name(_)), "{name:?}: {flaw}");
        let flaw = Hostile::new()
            .pax(&[("GNU.sparse.name", name)])
            .file(b"fine")
            .flaw();
        assert!(matches!(flaw, Flaw::Name(_)), "{name:?}: {flaw}");
    }
}

#[test]
fn links_that_lead_outside_are_refused() {
    let link = |target: &[u8]| {
        Hostile::new()
            .dir(b"dir")
            .member(b"link", EntryType::Link, target, b"")
            .flaw()
    };
    for target in [&b"../../etc/passwd"[..], b"/etc/passwd", b""] {
        assert!(matches!(link(target), Flaw::Name(_)), "{target:?}");
    }
    for target in [&b"dir"[..], b"missing", b"link"] {
        assert!(
            matches!(link(target), Flaw::LinkTarget { .. }),
            "{target:?}"
        );
    }
}

#[test]
fn nothing_is_put_below_a_symbolic_link_or_a_file() {
    for kind in [EntryType::Symlink, EntryType::Fifo, EntryType::Regular] {
        let link: &[u8] = if kind == EntryType::Symlink {
            b"/tmp"
        } else {
            b""
        };
        let flaw = Hostile::new()
            .member(b"way", kind, link, b"")
            .file(b"way/x")
            .flaw();
        assert_eq!(flaw, Flaw::Parent("way/x".into()));
        let flaw = Hostile::new()
            .member(b"way", kind, link, b"")
            .dir(b"way")
            .flaw();
        assert_eq!(flaw, Flaw::Duplicate("way".into()));
    }
    assert_eq!(
        Hostile::new().file(b"no/x").flaw(),
        Flaw::Parent("no/x".into())
    );
}

#[test]
fn odd_forms_are_refused() {
    let rootless = Hostile {
        tar: Builder::new(Vec::new()),
    };
    assert_eq!(rootless.file(b"x").flaw(), Flaw::Root);
    assert_eq!(
        Hostile::new().file(b"x").file(b"x").flaw(),
        Flaw::Duplicate("x".into())
    );
    assert_eq!(Hostile::new().dir(b"./").flaw(), Flaw::Duplicate("".into()));
    let socket = Hostile::new().member(b"x", EntryType::Fifo, b"", b"data");
    assert_eq!(socket.flaw(), Flaw::Data("x".into()));
    let global = Hostile::new().member(b"x", EntryType::XGlobalHeader, b"", b"");
    assert_eq!(global.flaw(), Flaw::Type(b'g'));
    let long = Hostile::new().sized(b"x", EntryType::Regular, b"", b"", u64::MAX);
    assert_eq!(long.flaw(), Flaw::Number("size"));
    let long = Hostile::new().sized(b"x", EntryType::Regular, b"", b"", 1 << 40);
    assert_eq!(long.flaw(), Flaw::Truncated);
    let pax = Hostile::new().sized(b"x", EntryType::XHeader, b"", b"", 1 << 40);
    assert_eq!(pax.flaw(), Flaw::Pax);
    let pax = Hostile::new().member(b"x", EntryType::XHeader, b"", b"99 a=b\n");
    assert_eq!(pax.file(b"x").flaw(), Flaw::Pax);
    let time = Hostile::new().pax(&[("mtime", b"1.5e3")]).file(b"x");
    assert_eq!(time.flaw(), Flaw::Number("mtime"));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let sparse = |size: &[u8], data: &[u8]| {
        Hostile::new()
            .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", size)])
            .member(b"x", EntryType::Regular, b"", data)
            .flaw()
    };
    let padded = |map: &[u8]| {
        let mut data = map.to_vec();
        data.resize(512, 0);
        data
    };
    for map in [
        &b""[..],
        b"1\n",
        b"1\n0\n4\n",
        b"1\n9\n2\n",
        b"-1\n",
        b"99999999999\n",
        b"\xff\n",
    ] {
        assert_eq!(sparse(b"10", &padded(map)), Flaw::Sparse, "{map:?}");
    }
    assert_eq!(
        sparse(b"18446744073709551615", &padded(b"0\n")),
        Flaw::Sparse
    );
    assert_eq!(sparse(b"10", b"0\n"), Flaw::Sparse);
}

#[test]
fn every_truncation_is_found_before_anything_is_touched() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    sample(ground.target());
    let before = snapshot(ground.target());
    let whole = fs::read(ground.archive()).unwrap();
    for length in 0..whole.len() {
        fs::write(ground.archive(), &whole[..length]).unwrap();
        assert!(read_index(&ground.archive()).is_err(), "cut at {length}");
        if length % 512 < 2 {
            assert!(ground.replace().is_err(), "cut at {length}");
            assert!(ground.add().is_err(), "cut at {length}");
            assert_same(&before, &snapshot(ground.target()));
            ground.assert_clean();
        }
    }
}

#[test]
fn a_symbolic_link_in_the_target_is_not_followed() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(outside.path().join("mine"), b"mine").unwrap();
    symlink(outside.path(), ground.target().join("dir")).unwrap();
    let before = (snapshot(ground.target()), snapshot(outside.path()));
    let error = ground.add().unwrap_err();
    assert!(
        matches!(error, PopulateError::Conflict { total: 1, .. }),
        "{error}"
    );
    ground.replace().unwrap().rollback().unwrap();
    assert_same(&before.0, &snapshot(ground.target()));
    assert_same(&before.1, &snapshot(outside.path()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Damage that the form does not show is the manifest's to find; here nothing
    /// may panic, and whatever was put in has to be taken back.
    #[test]
    fn damaged_archives_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sum in any::<bool>(),
    ) {
        let ground = Ground::new();
        sample(ground.source());
        ground.capture();
        fs::write(ground.target().join("old"), b"old").unwrap();
        let before = snapshot(ground.target());
        let mut bytes = fs::read(ground.archive()).unwrap();
        for (at, value) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *value;
            // With a checksum that fits, so that the damage gets further.
            let start = at / 512 * 512;
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[start..start + 512]);
            if sum && header.cksum().is_ok() && header.as_ustar().is_some() {
                header.set_cksum();
                bytes[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        fs::write(ground.archive(), bytes).unwrap();
        for result in [ground.replace(), ground.add()] {
            if let Ok(populated) = result {
                populated.rollback().unwrap();
            }
            let mut after = snapshot(ground.target());
            let mut expected = before.clone();
            // Names come and go in the root when something is added to it.
            for root in [&mut after, &mut expected] {
                let root = root.get_mut(Path::new("")).unwrap();
                root.mtime = (0, 0);
            }
            assert_same(&expected, &after);
            ground.assert_clean();
        }
    }
}
