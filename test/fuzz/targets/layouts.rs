//! Any bytes as an archive of a checkpoint: what is unpacked is what the archive says, or nothing is.
#![no_main]

use std::fs;
use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use remap_engine::archive::open;
use remap_fuzz::scratch;

/// More files of an archive cost only time.
const FILES: usize = 100;

fuzz_target!(|data: &[u8]| {
    let dir = scratch();
    let (archive, unpacked) = (dir.join("archive"), dir.join("unpacked"));
    let _ = fs::remove_dir_all(&unpacked);
    fs::write(&archive, data).expect("a file in the scratch directory");
    let Ok(opened) = open(&archive) else {
        return;
    };
    if opened.files().len() > FILES {
        return;
    }
    let mut go_on = |_| ControlFlow::Continue(());
    let faults = opened.verify(&mut go_on).expect("a file that can be read");
    let done = opened.unpack(&unpacked, &mut go_on);
    let names = fs::read_dir(dir).expect("the scratch directory").count();
    if done.is_err() {
        assert_eq!(names, 1, "something is left of it");
        return;
    }
    assert_eq!(names, 2, "there is more than was to be made");
    // What containerd reads beside the files may be another: only a list of files is unpacked without it.
    let is_listed = opened.kind().is_ours;
    assert!(is_listed || faults.is_empty(), "{faults:?}");
    let made = fs::read_dir(&unpacked).expect("what was unpacked");
    let mut made: Vec<_> = made
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            (
                entry.file_name(),
                entry.metadata().expect("its length").len(),
            )
        })
        .collect();
    made.sort();
    let said = opened.files().iter();
    let mut said: Vec<_> = said
        .map(|file| (file.name.clone().into(), file.size))
        .collect();
    said.sort();
    assert_eq!(made, said);
    // Nothing else than what was unpacked is in the plain form, either.
    let again = open(&unpacked).expect("the plain form");
    assert_eq!(again.verify(&mut go_on).expect("files"), []);
});
