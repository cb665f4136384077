//! Files, their names, and mounts.

use super::{About, Failure};

pub(super) const FAILURES: &[Failure] = &[
    // create_link_remap
    Failure {
        name: "link_remap_off",
        says: "Can't create link remap for {path}. Use link-remap option",
        about: About::Descriptor,
        cause: "an open or mapped file has lost its name",
        remedy: "allow link-remap, or leave the mount to the engine, which remaps such files",
    },
    // dump_ghost_remap
    Failure {
        name: "ghost_limit",
        says: "Can't dump ghost file {path} of {size} size, increase limit",
        about: About::Descriptor,
        cause: "a deleted file that is still open or mapped is larger than ghost-limit allows",
        remedy: "raise ghost-limit above this size (bytes), or have the file closed",
    },
    // open_path
    Failure {
        name: "link_remap_gone",
        says: "Can't link {what} -> {path}: No such file or directory",
        about: About::Whole,
        cause: "the link that held a deleted file is not on the target",
        remedy: "carry the file system's content over, or take a checkpoint that the engine remaps",
    },
    // open_path (source)
    Failure {
        name: "link_remap_taken",
        says: "Can't link {what} -> {path}: File exists",
        about: About::Whole,
        cause: "a file on the target has the name that a deleted file needs for a moment",
        remedy: "remove what earlier restores left there",
    },
    // create_link_remap (source)
    Failure {
        name: "link_remap_exists",
        says: "Can't link remap to {path}: File exists",
        about: About::Descriptor,
        cause: "the link that would hold a deleted file exists already",
        remedy: "remove the link_remap files that an earlier dump left beside the file",
    },
    // linkat_hard (source)
    Failure {
        name: "link_remap_refused",
        says: "Can't link {path} -> {what}: Operation not permitted",
        about: About::Descriptor,
        cause: "the file system does not let a deleted file have a name again",
        remedy: "have the file closed, or put it on a file system that allows hard links",
    },
    // do_open_reg_noseek_flags
    Failure {
        name: "file_missing",
        says: "Can't open file {path} on restore: No such file or directory",
        about: About::Whole,
        cause: "a file or directory that the task uses is not on the target",
        remedy: "put it there as it was at the checkpoint",
    },
    // do_open_reg_noseek_flags
    Failure {
        name: "file_type",
        says: "Can't open file {path} on restore: {what}",
        about: About::Whole,
        cause: "a file that the task uses cannot be opened on the target",
        remedy: "make it what it was at the checkpoint: its type, its permissions",
    },
    // do_open_fifo
    Failure {
        name: "fifo_missing",
        says: "Can't open fake fifo {} [{path}]: {what}",
        about: About::Whole,
        cause: "a FIFO that the task uses cannot be opened on the target",
        remedy: "make the FIFO again with mkfifo",
    },
    // validate_file
    Failure {
        name: "file_size",
        says: "File {path} has bad size {size}",
        about: About::Whole,
        cause: "a file is not as long as it was at the checkpoint",
        remedy: "put the same file there; one that only grew may be cut to the expected size",
    },
    // open_path
    Failure {
        name: "file_mode",
        says: "File {path} has bad mode {mode}",
        about: About::Whole,
        cause: "a file has another type or other permissions than at the checkpoint",
        remedy: "give it the expected mode with chmod",
    },
    // validate_with_build_id (source)
    Failure {
        name: "file_build_id",
        says: "File {path} has bad build-ID",
        about: About::Whole,
        cause: "a program or library is another build than at the checkpoint",
        remedy: "use the same image on the target",
    },
    // dump_one_reg_file
    Failure {
        name: "memfd_secret_fd",
        says: "Can't lookup mount={} for fd={fd} path=/secretmem",
        about: About::Task,
        cause: "CRIU cannot dump memory from memfd_secret",
        remedy: "have it closed before the checkpoint; it is kept from everyone on purpose",
    },
    // dump_one_reg_file
    Failure {
        name: "mount_unknown",
        says: "Can't lookup mount={mount} for fd={fd} path={path}",
        about: About::Task,
        cause: "a descriptor leads to a mount that the container does not see: unmounted lazily, or of the host, or a message queue's",
        remedy: "have it closed before the checkpoint, or mount its file system in the container",
    },
    // check_path_remap
    Failure {
        name: "covered",
        says: "Unaccessible path opened {file}",
        about: About::Descriptor,
        cause: "another file is now at the path of an open file: a mount covers it, or the mount namespace has changed",
        remedy: "unmount what covers it, or have the file closed",
    },
    // vma_get_mapfile
    Failure {
        name: "memfd_secret",
        says: "Unknown shit {} (/secretmem",
        about: About::Task,
        cause: "CRIU cannot dump memory from memfd_secret",
        remedy: "have it unmapped before the checkpoint; it is kept from everyone on purpose",
    },
    // validate_mounts
    Failure {
        name: "mount_root",
        says: "mnt: {mount}:{path} doesn't have a proper root mount",
        about: About::Whole,
        cause: "a bind mount has a source outside the container that nothing was said about",
        remedy: "declare the mount external (runc does so for the mounts of config.json)",
    },
    // validate_mounts (source)
    Failure {
        name: "mount_unsupported",
        says: "FS mnt {path} dev {device} root {} unsupported id {mount}",
        about: About::Whole,
        cause: "CRIU cannot dump this kind of file system",
        remedy: "unmount it in the container, or bind it from the host",
    },
    // get_mp_root (source)
    Failure {
        name: "mount_unmapped",
        says: "No mapping for {mount}:{path} mountpoint",
        about: About::Whole,
        cause: "a mount that was external at the dump is not given at the restore",
        remedy: "restore with the same mounts in the container's specification",
    },
];
