//! Descriptors that are not files, sockets, terminals.

use super::{About, Failure};

pub(super) const FAILURES: &[Failure] = &[
    // dump_unsupp_fd
    Failure {
        name: "device",
        says: "Can't dump file {fd} of that type [{}] (chr {device})",
        about: About::Descriptor,
        cause: "CRIU cannot dump an open device",
        remedy: "have the device closed before the checkpoint, or load CRIU's plugin for it",
    },
    // dump_unsupp_fd
    Failure {
        name: "anonymous",
        says: "Can't dump file {fd} of that type [{}] (anon {what})",
        about: About::Descriptor,
        cause: "CRIU cannot dump this kind of descriptor",
        remedy: "have it closed before the checkpoint",
    },
    // dump_unsupp_fd
    Failure {
        name: "unsupported",
        says: "Can't dump file {fd} of that type [{}] ({what})",
        about: About::Descriptor,
        cause: "CRIU cannot dump this kind of file",
        remedy: "have it closed before the checkpoint",
    },
    // drain_fds
    Failure {
        name: "descriptor_not_sent",
        says: "send_fds failed ({errno})",
        about: About::Task,
        cause: "a task has a descriptor that cannot be passed to CRIU, such as an io_uring",
        remedy: "switch io_uring off in the application, or have it closed before the checkpoint",
    },
    // dump_tunfile
    Failure {
        name: "tun",
        says: "tun: Net namespace is required to dump",
        about: About::Descriptor,
        cause: "a TUN device can only be dumped with its network namespace",
        remedy: "run the container in a network namespace of its own",
    },
    // dump_one_pidfd
    Failure {
        name: "pidfd",
        says: "pidfd pid {process} is not a part of process tree",
        about: About::Descriptor,
        cause: "a pidfd stands for a process outside the container",
        remedy: "have it closed before the checkpoint",
    },
    // check_open_handle
    Failure {
        name: "inotify",
        says: "Can't dump that handle",
        about: About::Descriptor,
        cause: "a watched file cannot be found by its handle",
        remedy: "use irmap-scan-path or force-irmap of CRIU's options, or have the watch removed",
    },
    // do_dump_opt
    Failure {
        name: "socket_option",
        says: "sockets: Can't get {option} opt: ",
        about: About::Descriptor,
        cause: "this kernel does not answer what this version of CRIU asks about a socket",
        remedy: "use CRIU 4.2 or later: 4.1 fails on every network socket with Linux 6.18",
    },
    // can_dump_ipproto
    Failure {
        name: "socket_protocol",
        says: "inet: Unsupported proto {protocol} for",
        about: About::Descriptor,
        cause: "CRIU cannot dump a socket of this protocol",
        remedy: "use plain TCP or UDP; in Go programs GODEBUG=multipathtcp=0 turns MPTCP off",
    },
    // can_dump_inet_sk
    Failure {
        name: "tcp_established",
        says: "inet: Connected TCP socket, consider",
        about: About::Descriptor,
        cause: "a TCP connection is open",
        remedy: "allow tcp-established, or tcp-close, or end the connection before the checkpoint",
    },
    // dump_socket
    Failure {
        name: "socket_family",
        says: "Unknown socket collected (family {family})",
        about: About::Descriptor,
        cause: "CRIU cannot dump a socket of this family",
        remedy: "have the socket closed before the checkpoint",
    },
    // dump_one_unix_fd
    Failure {
        name: "unix_peer",
        says: "unix: Unix socket {} without peer {}",
        about: About::Descriptor,
        cause: "a Unix socket is connected to one of another network namespace",
        remedy: "end the connection before the checkpoint, or run both ends in one network namespace",
    },
    // flush_eventpoll_dinfo_queue, dump_one_task
    Failure {
        name: "epoll",
        says: "Dump eventpoll (pid: {pid}) failed",
        about: About::Descriptor,
        cause: "an epoll watches a file that its process has closed and another one has open",
        remedy: "have the file taken out of the epoll before it is closed (EPOLL_CTL_DEL, epoll(7))",
    },
    // __dump_external_socket
    Failure {
        name: "unix_external",
        says: "External socket is used. Consider",
        about: About::Whole,
        cause: "a Unix socket is connected to a process outside the container",
        remedy: "allow ext-unix-sk, or end the connection before the checkpoint",
    },
    // inet_bind
    Failure {
        name: "address_used",
        says: "inet: Can't bind inet socket ({what})",
        about: About::Whole,
        cause: "the address of a socket is in use on the target, or the target does not have it",
        remedy: "free the port, or restore with the same address in a network namespace of its own",
    },
    // bind_unix_sk
    Failure {
        name: "unix_path",
        says: "unix: Can't bind id {} ino {} addr {path}: {what}",
        about: About::Whole,
        cause: "a Unix socket cannot be given its name on the target",
        remedy: "remove what is at its path",
    },
    // tty_verify_active_pairs
    Failure {
        name: "tty",
        says: "Found slave peer index {index} without",
        about: About::Whole,
        cause: "a terminal's other end is held by a process outside the container",
        remedy: "allow shell-job, or run the container without a terminal",
    },
    // pty_open_unpaired_slave
    Failure {
        name: "tty_inherit",
        says: "Don't have tty to inherit session from",
        about: About::Whole,
        cause: "the task needs the terminal that the restore runs on, and there is none",
        remedy: "restore from a terminal",
    },
];
