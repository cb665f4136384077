//! Whatever happens to an archive on its way, it is noticed, and nothing is made of it.

use super::*;

/// Nothing is made of what is at `archive`; or, if it may be, just what was in it before.
fn assert_refused(ground: &Ground, whole: Option<&BTreeMap<String, Vec<u8>>>, what: &str) {
    let (path, unpacked) = (ground.path("archive"), ground.path("unpacked"));
    let archive = match open(&path) {
        Ok(archive) => archive,
        Err(ArchiveError::Io { source, .. }) => panic!("{what}: {source}"),
        Err(_) => return,
    };
    let faults = archive.verify(&mut go_on).unwrap();
    match archive.unpack(&unpacked, &mut go_on) {
        Ok(()) => {
            let is_whole = whole.is_some_and(|whole| contents(&unpacked) == *whole);
            assert!(is_whole, "{what} is not noticed");
            fs::remove_dir_all(&unpacked).unwrap();
        }
        Err(ArchiveError::Damaged { .. }) => assert!(!faults.is_empty(), "{what}"),
        Err(other) => panic!("{what}: {other}"),
    }
    assert_eq!(ground.names(), ["archive", "images"], "{what}");
}

/// The archive, and what is in it.
fn ground(form: (Layout, Compression)) -> (Ground, Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let ground = Ground::new(20_000);
    ground.write(form, "archive").unwrap();
    let archive = open(&ground.path("archive")).unwrap();
    let unpacked = ground.path("unpacked");
    archive.unpack(&unpacked, &mut go_on).unwrap();
    let whole = contents(&unpacked);
    fs::remove_dir_all(unpacked).unwrap();
    let bytes = fs::read(ground.path("archive")).unwrap_or_default();
    (ground, bytes, whole)
}

/// All layouts that are a file.
fn files() -> impl Iterator<Item = (Layout, Compression)> {
    FORMS.into_iter().filter(|form| form.0 != Layout::Directory)
}

#[test]
fn a_flipped_bit_anywhere() {
    for form in files() {
        let (ground, bytes, whole) = ground(form);
        // Some bits of a compressed file have no meaning.
        let whole = (form.1 == ZSTD).then_some(&whole);
        for at in (0..bytes.len()).step_by(101).chain(0..560) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(ground.path("archive"), bad).unwrap();
            assert_refused(&ground, whole, &format!("{form:?}, byte {at}"));
        }
    }
}

#[test]
fn an_end_that_is_missing() {
    for form in files() {
        let (ground, bytes, _) = ground(form);
        for length in (0..bytes.len()).step_by(256).chain([bytes.len() - 1]) {
            fs::write(ground.path("archive"), &bytes[..length]).unwrap();
            assert_refused(&ground, None, &format!("{form:?}, {length} bytes"));
        }
    }
}

#[test]
fn more_than_there_was() {
    for form in files() {
        let (ground, mut bytes, _) = ground(form);
        bytes.extend(b"more");
        fs::write(ground.path("archive"), bytes).unwrap();
        assert_refused(&ground, None, &format!("{form:?}"));
    }
}

#[test]
fn a_file_of_a_directory_that_is_another() {
    let (ground, _, whole) = ground((Layout::Directory, Compression::None));
    let directory = ground.path("archive");
    for (name, text) in &whole {
        let path = directory.join(name);
        for at in (0..text.len()).step_by(97) {
            let mut bad = text.clone();
            bad[at] ^= 4;
            fs::write(&path, bad).unwrap();
            assert_refused(&ground, None, &format!("{name}, byte {at}"));
        }
        fs::write(&path, [text.as_slice(), b" "].concat()).unwrap();
        assert_refused(&ground, None, &format!("{name}, longer"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_refused(&ground, None, &format!("{name}, a link"));
        fs::remove_file(&path).unwrap();
        if name != ARCHIVE_FILE {
            assert_refused(&ground, None, &format!("{name}, missing"));
        }
        fs::write(&path, text).unwrap();
    }
    assert_eq!(open(&directory).unwrap().verify(&mut go_on).unwrap(), []);
}

#[test]
fn all_that_is_wrong_is_told() {
    let (ground, _, _) = ground((Layout::Directory, Compression::None));
    let directory = ground.path("archive");
    fs::write(directory.join("pages-1.img"), b"short").unwrap();
    fs::remove_file(directory.join("empty.img")).unwrap();
    fs::write(directory.join("stats-dump"), b"Written later").unwrap();
    let archive = open(&directory).unwrap();
    let faults = archive.verify(&mut go_on).unwrap();
    let mut faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
    faults.sort();
    assert_eq!(
        faults,
        [
            "`empty.img` is missing",
            "`pages-1.img` has 5 bytes instead of 20000",
            "`stats-dump` has other contents (SHA-256)",
        ]
    );
}
