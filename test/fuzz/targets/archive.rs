//! Any bytes as the archive of a carried mount: nothing outside the mount is written, and a mount
//! that cannot be populated is as it was.
#![no_main]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use remap_engine::carry::{Beside, Mode, PopulateError, Request, populate, read_index};
use remap_fuzz::scratch;

const BLOCK: usize = 512;

/// What is on the mount before.
const OLD: &str = "old";

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let mut bytes = data.to_vec();
    if choice & 1 != 0 {
        repair(&mut bytes);
    }
    let dir = scratch();
    let [archive, target, outside] = ["archive", "target", "outside"].map(|name| dir.join(name));
    let [stash, journal] = ["stash", "journal"].map(|name| dir.join(name));
    let _ = fs::remove_dir_all(&target);
    fs::create_dir(&target).expect("a directory in the scratch directory");
    fs::write(target.join(OLD), OLD).expect("a file in it");
    fs::create_dir_all(&outside).expect("a directory in the scratch directory");
    fs::write(outside.join("file"), "outside").expect("a file in it");
    fs::write(&archive, &bytes).expect("a file in the scratch directory");
    let before = Outside::look(dir, &outside);

    let index = read_index(&archive);
    let mode = if choice & 2 == 0 {
        Mode::Add(Beside::default())
    } else {
        Mode::Replace {
            stash: stash.clone(),
        }
    };
    let request = Request {
        archive: &archive,
        target: &target,
        journal: &journal,
        mode,
    };
    let kept = match populate(&request) {
        Ok(populated) => {
            let index = index.expect("what was put in has an index");
            assert_eq!(populated.totals(), index.totals);
            if choice & 4 == 0 {
                populated.rollback().expect("it can be taken back");
                false
            } else {
                populated.commit().expect("it can be kept");
                true
            }
        }
        Err(error @ PopulateError::NotRolledBack { .. }) => panic!("{error}"),
        Err(_) => false,
    };
    assert_eq!(Outside::look(dir, &outside), before);
    if !kept {
        let names: Vec<_> = fs::read_dir(&target).expect("the target").collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let text = fs::read_to_string(target.join(OLD));
        assert_eq!(text.expect("the old file"), OLD);
    }
});

/// Makes the checksums of all headers right, as far as members can be told apart: otherwise hardly
/// any input would come further than there.
fn repair(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let digits: String = digits.map(|byte| char::from(*byte)).collect();
        let size = usize::from_str_radix(&digits, 8).unwrap_or(0);
        let Some(padded) = size.checked_next_multiple_of(BLOCK) else {
            return;
        };
        at = at.saturating_add(BLOCK).saturating_add(padded);
        if at > bytes.len() {
            return;
        }
    }
}

/// All that is not the mount's.
#[derive(Debug, PartialEq)]
struct Outside {
    names: Vec<(String, Vec<String>)>,
    file: (u64, u32, u64, i64, i64),
}

impl Outside {
    fn look(dir: &Path, outside: &Path) -> Self {
        let list = |dir: &Path| {
            let names = fs::read_dir(dir).expect("a directory of the scratch directory");
            let names = names.map(|name| name.expect("an entry").file_name());
            let mut names: Vec<_> = names
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            names.sort();
            (dir.display().to_string(), names)
        };
        let file = fs::metadata(outside.join("file")).expect("the file outside");
        Self {
            names: vec![list(dir), list(outside)],
            file: (
                file.len(),
                file.mode(),
                file.nlink(),
                file.ctime(),
                file.ctime_nsec(),
            ),
        }
    }
}
