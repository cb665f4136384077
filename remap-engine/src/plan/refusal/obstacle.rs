//! Which obstacles forbid a checkpoint. Pure.
//!
//! What is said here holds for the versions of CRIU that were read and tried. Of a newer one it is
//! not known, and the decision is left to it.

use super::Refusal;
use crate::criu::version::CriuVersion;
use crate::intent::Intent;
use crate::obstacle::{Kind, Obstacle, Plugins};

/// The oldest CRIU of which it is known what it refuses, and the first of which it is not.
const KNOWN: std::ops::Range<CriuVersion> = CriuVersion::new(3, 17)..CriuVersion::new(4, 3);

/// The first that dumps pidfds.
const PIDFDS: CriuVersion = CriuVersion::new(4, 1);

/// The first that asks for `SO_PASSCRED` only where there is one, and that dumps ICMP sockets.
const SOCKET_OPTIONS: CriuVersion = CriuVersion::new(4, 2);

/// `IPPROTO_ICMP` and `IPPROTO_ICMPV6`.
const ICMP: [u32; 2] = [1, 58];

/// The CRIU at hand, if it is known what that refuses.
pub(super) fn known(intent: &Intent) -> Option<CriuVersion> {
    intent.criu.filter(|version| KNOWN.contains(version))
}

/// Why the obstacle is in the way of a checkpoint as intended; `None` if it is not, or if that is
/// not certain.
pub(super) fn refusal(obstacle: &Obstacle, intent: &Intent) -> Option<Refusal> {
    let criu = known(intent)?;
    if !forbids(&obstacle.kind, intent, criu) {
        return None;
    }
    let (cause, remedy) = said(&obstacle.kind);
    Some(Refusal {
        what: format!("{cause}: {}", obstacle.holders()),
        remedy,
    })
}

fn forbids(kind: &Kind, intent: &Intent, criu: CriuVersion) -> bool {
    let ground = &intent.ground;
    let options = &intent.options;
    match kind {
        // Only what CRIU has no type for is offered to plugins (`dump_unsupp_fd`).
        Kind::Anonymous { .. } | Kind::Device { .. } | Kind::DeviceMapping { .. } => {
            ground.plugins == Plugins::OnlyItsOwn
        }
        Kind::Pidfd { inside } if criu >= PIDFDS => !inside,
        Kind::Pidfd { .. } => ground.plugins == Plugins::OnlyItsOwn,
        Kind::UnknownMount | Kind::Covered | Kind::MessageQueue => !ground.has_external,
        Kind::SocketOptions => criu < SOCKET_OPTIONS,
        Kind::SocketProtocol { protocol } => !ICMP.contains(protocol) || criu < SOCKET_OPTIONS,
        Kind::TcpConnection => !options.tcp_established && !options.tcp_close && !ground.closes_tcp,
        Kind::PendingConnections => !ground.skips_in_flight,
        Kind::UnixOutside { reconnects } => {
            let may = options.ext_unix_sk && *reconnects;
            !may && !ground.has_external && ground.plugins == Plugins::OnlyItsOwn
        }
        Kind::FileLock => !options.file_locks,
        Kind::Watch { path } => path.is_none(),
        // It is restored right.
        Kind::UnixRenamed { .. } => false,
        Kind::TunOfHost
        | Kind::TerminalOfHost
        | Kind::ControllingTerminal
        | Kind::UnixElsewhere
        | Kind::UnixLinked
        | Kind::UnixLost
        | Kind::UnixRelative
        | Kind::LostWatched
        | Kind::UntoldLimits
        | Kind::Vfork
        | Kind::PathOfFifo
        | Kind::RemadeDirectory
        | Kind::NestedGone
        | Kind::SecretMemory
        | Kind::SocketFamily { .. }
        | Kind::ForeignSession
        | Kind::Namespace { .. }
        | Kind::Traced
        | Kind::Stopped
        | Kind::FileTable
        | Kind::SystemVMemory
        | Kind::SharedCode
        | Kind::Unseen => true,
    }
}

/// The cause and the remedy.
fn said(kind: &Kind) -> (String, String) {
    let close = |what: &str| format!("have {what} closed before the checkpoint");
    let (cause, remedy) = match kind {
        Kind::Anonymous { inode } if inode == "[io_uring]" => (
            "CRIU cannot dump an io_uring".into(),
            "switch io_uring off in the application (Node.js: UV_USE_IO_URING=0; MariaDB: innodb_use_native_aio=0), or have it closed before the checkpoint".into(),
        ),
        Kind::Anonymous { inode } => (
            format!("CRIU cannot dump a descriptor or mapping of the kind {inode}"),
            close("it"),
        ),
        Kind::Pidfd { inside: true } => (
            "CRIU before 4.1 cannot dump a pidfd".into(),
            "use CRIU 4.1 or later, or have it closed before the checkpoint".into(),
        ),
        Kind::Pidfd { inside: false } => (
            "a pidfd stands for a process outside the container's process tree".into(),
            close("it"),
        ),
        Kind::Device { block, device } => {
            let type_ = if *block { "block" } else { "character" };
            (
                format!("CRIU cannot dump the {type_} device {device}"),
                close("the device"),
            )
        }
        Kind::DeviceMapping { device } => (
            format!("CRIU cannot dump a mapping of the device {device}"),
            "have it unmapped before the checkpoint".into(),
        ),
        Kind::TunOfHost => (
            "a TUN device can only be dumped with its network namespace".into(),
            "run the container in a network namespace of its own".into(),
        ),
        Kind::TerminalOfHost => (
            "a terminal of the host's is open, which CRIU can dump and not restore, not even with shell-job".into(),
            "have it closed before the checkpoint, or run the container with a terminal of its own (ctr run -t)".into(),
        ),
        Kind::ControllingTerminal => (
            "a process has opened /dev/tty that does not lead its session: CRIU cannot dump that".into(),
            "end it before the checkpoint (a pager, an editor, a question for a password), or have it close /dev/tty".into(),
        ),
        Kind::UnknownMount => (
            "a file lies on a mount that the container does not see: one that was unmounted, or one of the kernel's own".into(),
            "have it closed before the checkpoint, or mount its file system in the container".into(),
        ),
        Kind::Covered => (
            "another mount covers a file that is in use".into(),
            "unmount the upper one, or have the file closed before the checkpoint".into(),
        ),
        Kind::MessageQueue => (
            "CRIU cannot dump a POSIX message queue".into(),
            close("it"),
        ),
        Kind::SecretMemory => (
            "CRIU cannot dump memory of memfd_secret(2), which is kept from everyone on purpose".into(),
            "have it closed and unmapped before the checkpoint".into(),
        ),
        Kind::SocketOptions => (
            "CRIU before 4.2 cannot dump a network socket on this kernel (SO_PASSCRED)".into(),
            "use CRIU 4.2 or later, or have the socket closed before the checkpoint".into(),
        ),
        Kind::SocketFamily { family } => (
            format!("CRIU cannot dump a socket of the address family {family}"),
            close("the socket"),
        ),
        Kind::SocketProtocol { protocol } => (
            format!("CRIU cannot dump a socket of the protocol {protocol}"),
            "use plain TCP or UDP (MPTCP, 262: GODEBUG=multipathtcp=0 turns it off in Go programs), or have the socket closed before the checkpoint".into(),
        ),
        Kind::TcpConnection => (
            "a TCP connection is open".into(),
            "allow tcp-established (by the annotation io.remap.tcp-established, or in the CRIU configuration that org.criu.config names), or end the connection before the checkpoint".into(),
        ),
        Kind::PendingConnections => (
            "a TCP listener has connections that the application has not accepted yet".into(),
            "try again, or allow skip-in-flight in the CRIU configuration, which drops them".into(),
        ),
        Kind::UnixOutside { reconnects } => (
            "a Unix socket is connected to a process outside the container".into(),
            if *reconnects {
                "allow ext-unix-sk (by the annotation io.remap.ext-unix-sk, or in the CRIU configuration that org.criu.config names), or end the connection before the checkpoint".into()
            } else {
                "end the connection before the checkpoint".into()
            },
        ),
        Kind::UnixElsewhere => (
            "a Unix socket is connected to one of a network namespace that is not the container's, where CRIU does not find it, not even with ext-unix-sk".into(),
            "end the connection before the checkpoint, or run both in one network namespace".into(),
        ),
        Kind::UnixLinked => (
            "the file of a Unix socket has several names (link(2)), of which a restore would make one".into(),
            "remove the others before the checkpoint, or make symbolic links instead".into(),
        ),
        Kind::UnixLost | Kind::UnixRenamed { .. } => (
            "the file of a Unix socket has been renamed, and the name that it has is out of the container's sight or too long to be bound: nobody could connect after a restore".into(),
            "bind the socket under the name that it is to have, of at most 107 bytes".into(),
        ),
        Kind::UnixRelative => (
            "a Unix socket was bound under a relative name which its file has no more, and CRIU cannot tell where it is".into(),
            "bind it under an absolute name".into(),
        ),
        Kind::LostWatched => (
            "an epoll watches a file of which its process has no descriptor any more, and CRIU does not look elsewhere".into(),
            "have the file taken out of the epoll (EPOLL_CTL_DEL) before it is closed, or keep it open".into(),
        ),
        Kind::UntoldLimits => (
            "CRIU may not ask for the resource limits of another user's process, for lack of CAP_SYS_RESOURCE".into(),
            "give containerd that capability, or run the container in a user namespace".into(),
        ),
        Kind::FileLock => (
            "a file lock or a lease is held".into(),
            "allow file-locks (ctr container checkpoint does so; or by the annotation io.remap.file-locks), if nobody outside the container uses the files, or have it released before the checkpoint".into(),
        ),
        Kind::ForeignSession => (
            "a process belongs to a session that was begun outside the container".into(),
            "end it before the checkpoint, or start it with setsid".into(),
        ),
        Kind::Namespace { namespace } => (
            format!("a process has a namespace of its own inside the container ({namespace}), which CRIU cannot dump"),
            "end it before the checkpoint, or run it in the container's namespace".into(),
        ),
        Kind::Traced => (
            "a task is traced, and CRIU has to trace it itself".into(),
            "end strace, gdb or whatever traces it".into(),
        ),
        Kind::Stopped => (
            "a task is stopped by a signal, and CRIU waits for ever for one that is stopped and frozen (cgroup v1)".into(),
            "let it go on (kill -CONT) before the checkpoint, and stop it again afterwards".into(),
        ),
        Kind::Vfork => (
            "a task waits for a child that it has made as by vfork(2), which has not run its program yet; CRIU cannot stop it before".into(),
            "try again; if it stays, see to what its child waits for, such as the other end of a FIFO".into(),
        ),
        Kind::FileTable => (
            "a thread has a table of descriptors of its own (unshare(2) with CLONE_FILES), which CRIU would lose without a word".into(),
            "end the thread before the checkpoint, or give it a process of its own".into(),
        ),
        Kind::Watch { .. } => (
            "a file is watched (inotify, fanotify) of which CRIU can find no path".into(),
            "have the watch removed before the checkpoint, or watch a file that has a name".into(),
        ),
        Kind::PathOfFifo => (
            "CRIU cannot dump a FIFO that was opened with O_PATH".into(),
            close("it"),
        ),
        Kind::RemadeDirectory => (
            "a deleted directory is in use whose name is taken again: the restore would take, and remove, what has the name now".into(),
            "leave or close the deleted one before the checkpoint".into(),
        ),
        Kind::NestedGone => (
            "a deleted directory is in use together with something else that was deleted and lay in it, or had its name: CRIU cannot restore them together".into(),
            "leave or close one of them before the checkpoint".into(),
        ),
        Kind::SystemVMemory => (
            "a System V shared memory segment belongs to an IPC namespace that is not the container's".into(),
            "run the container in an IPC namespace of its own".into(),
        ),
        Kind::SharedCode => (
            "the code of a process that comes first in its memory is shared and cannot be written, so that CRIU cannot put its own there".into(),
            "have the program keep its code in memory of its own (PHP: opcache.jit_buffer_size=0)".into(),
        ),
        Kind::Unseen => (
            "a file cannot be looked at, as the descriptors in /proc of a process that has ended".into(),
            close("it"),
        ),
    };
    (cause, remedy)
}

#[cfg(test)]
mod tests;
