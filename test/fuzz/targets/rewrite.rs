//! Any bytes as the images of a dump, of which files are to become ghosts: what is rewritten has all
//! that it had but that, and what cannot be rewritten stays as it is.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use remap_engine::criu::files::RemapFilePathEntry;
use remap_engine::criu::image::{self, Entries, Format, Magic};
use remap_engine::criu::{ghost, remap};
use remap_fuzz::{scratch, split};

const REMAPS: &str = "remap-fpath.img";

// Fields of a remap entry (remap-file-path.proto), and a type of remap.
const ORIG_ID: u64 = 1;
const REMAP_ID: u64 = 2;
const REMAP_TYPE: u64 = 3;
const GHOST: u64 = 1;

/// Ids of ghosts begin here, so that they are told from those of files.
const FIRST_GHOST: u32 = 100;

fuzz_target!(|data: &[u8]| {
    let Some((ghosts, is_framed, data)) = choices(data) else {
        return;
    };
    let (remaps, files) = split(data);
    let remaps = &*if is_framed {
        framed(remaps)
    } else {
        remaps.to_vec()
    };
    let dir = scratch().join("rewritten");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory in the scratch directory");
    fs::write(dir.join("files.img"), files).expect("a file in it");
    fs::write(dir.join(ghost::file_name(7)), files).expect("a file in it");
    let path = dir.join(REMAPS);
    if !remaps.is_empty() {
        fs::write(&path, remaps).expect("a file in it");
    }
    let before = fs::read(&path).ok();

    // Whatever is in them, these say so.
    let _ = ghost::inode_of(&dir, 7);
    let unused = remap::unused_ghost_id(&dir, &[]).expect("an id");
    assert_eq!(unused, 8);

    let result = remap::make_ghosts(&dir, &ghosts);
    let names = fs::read_dir(&dir).expect("the directory");
    assert_eq!(names.count(), 2 + usize::from(path.exists()));
    let Ok(first) = result else {
        assert_eq!(fs::read(&path).ok(), before);
        return;
    };
    let after = fs::read(&path).expect("the image");
    let was = before.map_or_else(Vec::new, |bytes| messages(&bytes));
    let is = messages(&after);
    let others = |all: &[Message]| -> Vec<Message> {
        let others = all.iter().filter(|one| !one.is_of(&ghosts));
        others.cloned().collect()
    };
    assert_eq!(others(&is), others(&was), "what is not concerned stays");
    for (file, ghost) in &ghosts {
        let of_file = |one: &&Message| one.file() == Some(*file);
        let mine: Vec<&Message> = is.iter().filter(of_file).collect();
        assert_eq!(mine.len(), 1, "one entry for each file");
        assert_eq!(mine[0].number(REMAP_ID), Some(u64::from(*ghost)));
        assert_eq!(mine[0].number(REMAP_TYPE), Some(GHOST));
        if let Some(old) = was.iter().find(of_file) {
            assert_eq!(mine[0].unknown(), old.unknown(), "unknown fields are kept");
        }
    }
    for (ghost, file) in &first {
        let client =
            |one: &&Message| one.is_of(&ghosts) && one.number(REMAP_ID) == Some(u64::from(*ghost));
        assert_eq!(is.iter().find(client).and_then(Message::file), Some(*file));
    }
    assert_eq!(
        first.len(),
        ghosts
            .values()
            .collect::<std::collections::HashSet<_>>()
            .len()
    );
    // CRIU reads it as it did before.
    let reads = |bytes: &[u8]| {
        let copy = dir.join("copy");
        fs::write(&copy, bytes).expect("a file in the directory");
        image::read::<RemapFilePathEntry>(&copy, Magic::RemapFpath).is_ok()
    };
    assert!(
        reads(&after) || !reads(remaps),
        "it cannot be read any more"
    );
    // Once more changes nothing.
    let again = remap::make_ghosts(&dir, &ghosts).expect("what was written can be rewritten");
    assert_eq!(again, first);
    assert_eq!(fs::read(&path).expect("the image"), after);
});

/// Which file becomes which ghost, and whether the remap image is to be framed, from the first
/// bytes: the number of ghosts with a bit for the other, and two for each.
fn choices(data: &[u8]) -> Option<(BTreeMap<u32, u32>, bool, &[u8])> {
    let (choice, data) = data.split_first()?;
    let (pairs, data) = data.split_at_checked(usize::from(choice % 8) * 2)?;
    let pair = |pair: &[u8]| (u32::from(pair[0]), FIRST_GHOST + u32::from(pair[1] % 4));
    let ghosts = pairs.chunks_exact(2).map(pair).collect();
    Some((ghosts, choice & 0x80 != 0, data))
}

/// An image of messages that each follow a byte with their length: otherwise hardly any input whose
/// messages have changed would be an image.
fn framed(mut messages: &[u8]) -> Vec<u8> {
    let mut image = Format::V1_1.header(Magic::RemapFpath);
    while let Some((length, rest)) = messages.split_first() {
        let length = usize::from(length % 32).min(rest.len());
        let (message, rest) = rest.split_at(length);
        image.extend((length as u32).to_le_bytes());
        image.extend(message);
        messages = rest;
    }
    image
}

/// The messages of an image that was read before.
fn messages(bytes: &[u8]) -> Vec<Message> {
    let path = Path::new(REMAPS);
    let mut entries = Entries::new(path, Magic::RemapFpath, bytes).expect("an image");
    let mut all = Vec::new();
    while let Some(message) = entries.message().expect("an entry") {
        all.push(Message::parse(&message));
    }
    all
}

/// A message: the number and the bytes of each field, and the value if it is a number.
#[derive(Debug, Clone, PartialEq)]
struct Message(Vec<(u64, Vec<u8>, Option<u64>)>);

impl Message {
    /// `bytes` are a message: it was rewritten, or looked through for that.
    fn parse(bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let begin = rest;
            let key = varint(&mut rest);
            let number = match key & 7 {
                0 => Some(varint(&mut rest)),
                1 => skip(&mut rest, 8),
                2 => {
                    let length = varint(&mut rest);
                    skip(&mut rest, usize::try_from(length).expect("a length"))
                }
                _ => skip(&mut rest, 4),
            };
            fields.push((key >> 3, begin[..begin.len() - rest.len()].to_vec(), number));
        }
        Self(fields)
    }

    /// The number in a field; the last one counts.
    fn number(&self, wanted: u64) -> Option<u64> {
        let mut fields = self.0.iter().rev();
        fields.find_map(|(number, _, value)| value.filter(|_| *number == wanted))
    }

    /// The file whose entry it is. Of a number that has more than 32 bits those count that are there
    /// (protobuf.dev, "Encoding").
    fn file(&self) -> Option<u32> {
        self.number(ORIG_ID).map(|id| id as u32)
    }

    fn is_of(&self, files: &BTreeMap<u32, u32>) -> bool {
        self.file().is_some_and(|file| files.contains_key(&file))
    }

    /// All but what is to be changed.
    fn unknown(&self) -> Vec<&[u8]> {
        let fields = self.0.iter();
        let fields = fields.filter(|(number, ..)| ![REMAP_ID, REMAP_TYPE].contains(number));
        fields.map(|(_, raw, _)| raw.as_slice()).collect()
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().expect("a number");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn skip(rest: &mut &[u8], length: usize) -> Option<u64> {
    *rest = rest.get(length..).expect("the bytes of a field");
    None
}
