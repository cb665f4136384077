//! Somebody changes a file while it is captured.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use super::super::*;

const SIZE: u64 = 1 << 20;

/// Captures a directory with one large file; `change` is made in the middle of it.
fn capture_while(change: impl FnOnce(&Path) + Send) -> Result<Captured, CaptureError> {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("large");
    std::fs::write(&path, vec![7; usize::try_from(SIZE).unwrap()]).unwrap();
    // Times on files are no finer than the tick of the kernel (time(7), jiffies).
    std::thread::sleep(Duration::from_millis(20));
    let root = File::open(dir.path()).unwrap();
    // A pipe holds less than the file: its writer waits for the reader.
    let (reader, writer) = nix::unistd::pipe().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = File::from(reader);
            reader.read_exact(&mut [0; 4096]).unwrap();
            change(&path);
            std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        });
        capture(root.as_fd(), File::from(writer))
    })
}

#[test]
fn what_nobody_changes_is_captured() {
    assert_eq!(capture_while(|_| ()).unwrap().totals.data_bytes, SIZE);
}

#[test]
fn whoever_changes_a_file_is_noticed() {
    let open = |path: &Path| OpenOptions::new().append(true).open(path).unwrap();
    type Change = Box<dyn FnOnce(&Path) + Send>;
    let changes: [(&str, Change); 3] = [
        ("cut", Box::new(move |path| open(path).set_len(9).unwrap())),
        (
            "added to",
            Box::new(move |path| open(path).write_all(b"x").unwrap()),
        ),
        (
            "renamed",
            Box::new(|path| std::fs::rename(path, path.with_extension("old")).unwrap()),
        ),
    ];
    for (what, change) in changes {
        let result = capture_while(change);
        assert!(
            matches!(&result, Err(CaptureError::Changed { path }) if path == Path::new("large")),
            "{what}: {result:?}"
        );
    }
}
