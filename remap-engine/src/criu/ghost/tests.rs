use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use super::*;
use crate::process::Process;

/// What CRIU would make of an image.
#[derive(Debug)]
struct Ghost {
    entry: GhostFileEntry,
    chunks: Vec<(u64, Vec<u8>)>,
    plain: Vec<u8>,
}

fn read(path: &Path) -> Ghost {
    let bytes = std::fs::read(path).unwrap();
    let mut entries = Entries::new(path, Magic::GhostFile, bytes.as_slice()).unwrap();
    let message = entries.message().unwrap().unwrap();
    let mut plain = Vec::new();
    entries.extra(&message, &mut plain).unwrap();
    let entry = GhostFileEntry::decode(message.as_slice()).unwrap();
    let mut chunks = Vec::new();
    if entry.chunks == Some(true) {
        let mut rest = std::mem::take(&mut plain);
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let chunk = GhostChunkEntry::decode(&rest[4..4 + length]).unwrap();
            let data = rest.split_off(4 + length);
            let (data, after) = data.split_at(usize::try_from(chunk.len).unwrap());
            chunks.push((chunk.off, data.to_vec()));
            rest = after.to_vec();
        }
    }
    Ghost {
        entry,
        chunks,
        plain,
    }
}

fn ids() -> (IdMap, IdMap) {
    let own = Process::pin(i32::try_from(std::process::id()).unwrap());
    own.unwrap().id_maps().unwrap()
}

fn ghost_of(file: &Path) -> (Ghost, WrittenGhost) {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(file, flags, Mode::empty()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join(file_name(31));
    assert!(image.ends_with("ghost-file-1f.img"));
    let written = write(&image, Format::V1_1, fd.as_fd(), &ids()).unwrap();
    let mode = std::fs::metadata(&image).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stat = rustix::fs::fstat(&fd).unwrap();
    let device = Device {
        major: rustix::fs::major(stat.st_dev),
        minor: rustix::fs::minor(stat.st_dev),
    };
    let found = inode_of(dir.path(), 31).unwrap();
    assert_eq!(found, Some((device, stat.st_ino)));
    (read(&image), written)
}

#[test]
fn a_small_file_is_in_one_piece() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("small");
    std::fs::write(&path, b"contents").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let (ghost, written) = ghost_of(&path);
    assert_eq!(ghost.plain, b"contents");
    assert_eq!(ghost.entry.mode, 0o100_640);
    assert_eq!((ghost.entry.chunks, ghost.entry.size), (None, None));
    assert!(ghost.entry.atim.is_some() && ghost.entry.mtim.is_some());
    assert_eq!((written.size_bytes, written.data_bytes), (8, 8));
}

#[test]
fn a_sparse_file_costs_its_data_and_not_its_size() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(b"early", 4096).unwrap();
    file.write_all_at(b"late", (1 << 30) - 4).unwrap();
    let (ghost, written) = ghost_of(&path);
    assert_eq!(ghost.entry.size, Some(1 << 30));
    assert!(ghost.plain.is_empty());
    let early = &ghost.chunks[0];
    assert!(early.0 == 4096 && early.1.starts_with(b"early"));
    assert!(ghost.chunks.last().unwrap().1.ends_with(b"late"));
    assert!(written.data_bytes <= 4 << 20 && written.size_bytes == 1 << 30);
}

#[test]
fn the_limit_of_chunks_is_that_of_criu() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("f");
    for (bytes, is_chunked) in [(CHUNKS_FROM_BYTES - 1, false), (CHUNKS_FROM_BYTES, true)] {
        std::fs::write(&path, vec![7; usize::try_from(bytes).unwrap()]).unwrap();
        let (ghost, written) = ghost_of(&path);
        assert_eq!(ghost.entry.chunks == Some(true), is_chunked);
        assert_eq!(ghost.plain.is_empty(), is_chunked);
        assert_eq!(written.data_bytes, bytes);
    }
}

#[test]
fn fifos_and_symbolic_links_have_no_data() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (ghost, _) = ghost_of(&fifo);
    assert_eq!(ghost.entry.mode & libc::S_IFMT, libc::S_IFIFO);
    assert!(ghost.plain.is_empty());
    let link = dir.path().join("link");
    symlink("where to", &link).unwrap();
    let (ghost, _) = ghost_of(&link);
    assert_eq!(ghost.entry.symlnk_target.as_deref(), Some(&b"where to"[..]));
}

#[test]
fn directories_and_strangers_files_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join(file_name(1));
    let fd = File::open("/dev/shm").unwrap();
    let error = write(&image, Format::V1_1, fd.as_fd(), &ids()).unwrap_err();
    assert!(matches!(error, GhostError::Type(_)), "{error}");
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    let nobody = IdMap::default();
    let ids = (nobody.clone(), nobody);
    let error = write(&image, Format::V1_1, file.as_fd(), &ids).unwrap_err();
    assert!(matches!(error, GhostError::Owner { .. }), "{error}");
    assert!(!image.exists());
}
