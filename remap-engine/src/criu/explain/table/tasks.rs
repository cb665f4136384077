//! Tasks, namespaces, locks, and the images themselves.

use super::{About, Failure};

pub(super) const FAILURES: &[Failure] = &[
    // alarm_handler; collect_pstree sets the time limit, compel_wait_task names the task
    Failure {
        name: "timeout",
        says: "Timeout reached. Try to interrupt",
        about: About::Later("Unseizable non-zombie {pid} found, {what}, err"),
        cause: "a task did not stop within CRIU's time limit",
        remedy: "see what it waits for: in state D for a child of vfork, a disk or a file server; or raise CRIU's option timeout (seconds)",
    },
    // dump_file_locks
    Failure {
        name: "file_locks",
        says: "Some file locks are hold by dumping tasks",
        about: About::Whole,
        cause: "a task holds a file lock or a lease",
        remedy: "allow file-locks, if nobody outside the container uses the files",
    },
    // check_sysvipc_map_dump
    Failure {
        name: "sysv_shm",
        says: "Task {pid} with SysVIPC shmem map @{address} doesn't live in IPC ns",
        about: About::Task,
        cause: "a System V shared memory segment belongs to an IPC namespace that is not dumped",
        remedy: "run the container in an IPC namespace of its own",
    },
    // generate_ns_id
    Failure {
        name: "nested_pid",
        says: "Can't dump nested {namespace} namespace for {pid}",
        about: About::Whole,
        cause: "a task has a namespace inside the container that CRIU cannot dump",
        remedy: "end that task, or run it without a namespace of its own",
    },
    // dump_task_rlimits; see prlimit(2)
    Failure {
        name: "limits",
        says: "Can't get rlimit {}: Operation not permitted",
        about: About::Task,
        cause: "CRIU may not ask for the limits of another user's task, for lack of CAP_SYS_RESOURCE",
        remedy: "give containerd that capability, or run the container in a user namespace",
    },
    // dump_one_task
    Failure {
        name: "session",
        says: "A session leader of {pid}({}) is outside of its pid namespace",
        about: About::Whole,
        cause: "a task's session was begun outside the container, as that of an exec session is",
        remedy: "end that task before the checkpoint, or start it with setsid",
    },
    // dump_zombies (source)
    Failure {
        name: "session_zombie",
        says: "A session leader of zombie process {pid}({}) is outside of its pid namespace",
        about: About::Whole,
        cause: "a dead task's session was begun outside the container",
        remedy: "have its parent wait for it",
    },
    // write_pages_loc
    Failure {
        name: "pages_not_written",
        says: "page-xfer: Unable to spice data: {what}",
        about: About::Task,
        cause: "memory pages could not be written to the image directory",
        remedy: "give it more space, or another place",
    },
    // bclose (source)
    Failure {
        name: "image_not_written",
        says: "bfd: Error flushing image: {what}",
        about: About::Task,
        cause: "an image could not be written",
        remedy: "give the image directory more space, or another place",
    },
    // fork_with_pid
    Failure {
        name: "pid_used",
        says: "Can't fork for {pid}: File exists",
        about: About::Whole,
        cause: "the pid of a task is in use on the target",
        remedy: "restore into a pid namespace of its own, or end what has the pid",
    },
    // do_pb_read_one
    Failure {
        name: "image_missing",
        says: "Unexpected EOF on (empty-image)",
        about: About::Image,
        cause: "an image is missing from the checkpoint",
        remedy: "copy the checkpoint again, whole",
    },
    // do_pb_read_one
    Failure {
        name: "image_short",
        says: "Read {} expected from {image}: ",
        about: About::Whole,
        cause: "an image of the checkpoint is cut short",
        remedy: "copy the checkpoint again, whole",
    },
    // img_check_magic
    Failure {
        name: "image_other",
        says: "Head magic doesn't match for {image}",
        about: About::Whole,
        cause: "an image of the checkpoint is not what its name says",
        remedy: "copy the checkpoint again, whole",
    },
    // img_check_magic
    Failure {
        name: "image_magic",
        says: "Magic doesn't match for {image}",
        about: About::Whole,
        cause: "an image of the checkpoint is damaged, or of another kind than its name says",
        remedy: "copy the checkpoint again, whole",
    },
    // __export_restore_task
    Failure {
        name: "pages_missing",
        says: "Can't read pages data ({errno})",
        about: About::Whole,
        cause: "the memory pages of a task cannot be read from the checkpoint",
        remedy: "copy the checkpoint again, whole, with the pre-dumps it builds on",
    },
    // get_exec_start; ptrace(2), PTRACE_POKEDATA
    Failure {
        name: "shared_code",
        says: "POKEDATA failed: Input/output error",
        about: About::Task,
        cause: "the code of a task that comes first in its memory is shared and cannot be written",
        remedy: "have the program keep its code in memory of its own (PHP: opcache.jit_buffer_size=0)",
    },
    // check_options
    Failure {
        name: "memory_tracking",
        says: "Tracking memory is not available",
        about: About::Whole,
        cause: "this kernel does not tell which memory was written since an earlier dump",
        remedy: "ask for a whole checkpoint, without a parent, or use a kernel with CONFIG_MEM_SOFT_DIRTY",
    },
    // cpu_validate_features (source)
    Failure {
        name: "cpu",
        says: "CPU capabilities do not match run time",
        about: About::Whole,
        cause: "the target's processor lacks what the source's had",
        remedy: "restore on the same kind of processor; criu cpuinfo check tells beforehand",
    },
];
