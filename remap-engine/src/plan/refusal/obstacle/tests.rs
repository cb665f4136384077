use super::*;
use crate::manifest::DumpOptions;
use crate::mountinfo::Device;
use crate::obstacle::{Ground, Holder};
use crate::process::UseKind;
use proptest::prelude::*;

fn criu(major: u32, minor: u32) -> Intent {
    Intent {
        criu: Some(CriuVersion::new(major, minor)),
        ..Intent::default()
    }
}

fn is_refused(kind: &Kind, intent: &Intent) -> bool {
    let holder = Holder {
        pid: 7,
        command: "app".into(),
        by: Some(UseKind::Fd(3)),
        name: "socket:[9]".into(),
    };
    let obstacle = Obstacle {
        kind: kind.clone(),
        holders: vec![holder],
    };
    let refusal = refusal(&obstacle, intent);
    if let Some(refusal) = &refusal {
        assert!(refusal.what.ends_with("pid 7 (app) by fd 3 on socket:[9]"));
        assert!(!refusal.remedy.is_empty());
    }
    refusal.is_some()
}

fn io_uring() -> Kind {
    Kind::Anonymous {
        inode: "[io_uring]".into(),
    }
}

fn with_options(options: DumpOptions) -> Intent {
    Intent {
        options,
        ..criu(4, 2)
    }
}

#[test]
fn an_option_allows_what_it_stands_for() {
    let none = criu(4, 2);
    let tcp = with_options(DumpOptions {
        tcp_established: true,
        ..DumpOptions::default()
    });
    let locks = with_options(DumpOptions {
        file_locks: true,
        ..DumpOptions::default()
    });
    let unix = with_options(DumpOptions {
        ext_unix_sk: true,
        ..DumpOptions::default()
    });
    let datagram = Kind::UnixOutside { reconnects: true };
    let stream = Kind::UnixOutside { reconnects: false };
    for (kind, allowed) in [
        (Kind::TcpConnection, &tcp),
        (Kind::FileLock, &locks),
        (datagram, &unix),
    ] {
        assert!(is_refused(&kind, &none), "{kind:?}");
        assert!(!is_refused(&kind, allowed), "{kind:?}");
    }
    assert!(is_refused(&stream, &unix));
    assert!(is_refused(&Kind::UnixElsewhere, &unix));
    assert!(is_refused(&Kind::UnixLinked, &unix) && is_refused(&Kind::UnixLost, &unix));
    assert!(is_refused(&Kind::UnixRelative, &unix));
    let renamed = Kind::UnixRenamed {
        socket: 9,
        name: "/run/s".into(),
    };
    assert!(!is_refused(&renamed, &none));
}

#[test]
fn the_version_of_criu_decides() {
    let inside = Kind::Pidfd { inside: true };
    assert!(is_refused(&inside, &criu(4, 0)) && !is_refused(&inside, &criu(4, 1)));
    let outside = Kind::Pidfd { inside: false };
    assert!(is_refused(&outside, &criu(4, 0)) && is_refused(&outside, &criu(4, 1)));
    let options = Kind::SocketOptions;
    assert!(is_refused(&options, &criu(4, 1)) && !is_refused(&options, &criu(4, 2)));
    let icmp = Kind::SocketProtocol { protocol: 1 };
    assert!(is_refused(&icmp, &criu(4, 1)) && !is_refused(&icmp, &criu(4, 2)));
    let mptcp = Kind::SocketProtocol { protocol: 262 };
    assert!(is_refused(&mptcp, &criu(4, 1)) && is_refused(&mptcp, &criu(4, 2)));
}

#[test]
fn what_the_configuration_or_a_plugin_may_allow_is_left_to_criu() {
    let ground = |ground| Intent {
        ground,
        ..criu(4, 2)
    };
    let plugins = ground(Ground {
        plugins: Plugins::Others,
        ..Ground::default()
    });
    let external = ground(Ground {
        has_external: true,
        ..Ground::default()
    });
    let tcp = ground(Ground {
        closes_tcp: true,
        skips_in_flight: true,
        ..Ground::default()
    });
    let device = Device {
        major: 10,
        minor: 229,
    };
    for (kind, intent) in [
        (io_uring(), &plugins),
        (Kind::DeviceMapping { device }, &plugins),
        (Kind::UnixOutside { reconnects: false }, &external),
        (Kind::MessageQueue, &external),
        (Kind::TcpConnection, &tcp),
        (Kind::PendingConnections, &tcp),
    ] {
        assert!(is_refused(&kind, &criu(4, 2)), "{kind:?}");
        assert!(!is_refused(&kind, intent), "{kind:?}");
    }
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let device = Device {
        major: 10,
        minor: 229,
    };
    prop::sample::select(vec![
        io_uring(),
        Kind::Pidfd { inside: false },
        Kind::Pidfd { inside: true },
        Kind::Device {
            block: true,
            device,
        },
        Kind::DeviceMapping { device },
        Kind::TunOfHost,
        Kind::TerminalOfHost,
        Kind::ControllingTerminal,
        Kind::UnknownMount,
        Kind::Covered,
        Kind::MessageQueue,
        Kind::SecretMemory,
        Kind::SocketOptions,
        Kind::SocketFamily { family: 40 },
        Kind::SocketProtocol { protocol: 262 },
        Kind::TcpConnection,
        Kind::PendingConnections,
        Kind::UnixOutside { reconnects: true },
        Kind::UnixOutside { reconnects: false },
        Kind::UnixElsewhere,
        Kind::UnixRenamed {
            socket: 9,
            name: "/run/s".into(),
        },
        Kind::UnixLinked,
        Kind::UnixLost,
        Kind::UnixRelative,
        Kind::LostWatched,
        Kind::UntoldLimits,
        Kind::Vfork,
        Kind::FileLock,
        Kind::ForeignSession,
        Kind::Namespace {
            namespace: "pid".into(),
        },
        Kind::Traced,
        Kind::Stopped,
        Kind::FileTable,
        Kind::SystemVMemory,
        Kind::SharedCode,
    ])
}

proptest! {
    /// Of a CRIU that is not known nothing is said; and to allow more never refuses more.
    #[test]
    fn nothing_is_refused_that_is_not_known(
        kind in any_kind(),
        flags in any::<[bool; 4]>(),
        version in prop::option::of((0u32..6, 0u32..20)),
    ) {
        let version = version.map(|(major, minor)| CriuVersion::new(major, minor));
        let plain = Intent { criu: version, ..Intent::default() };
        let [tcp_established, ext_unix_sk, shell_job, file_locks] = flags;
        let allowed = Intent {
            options: DumpOptions { tcp_established, ext_unix_sk, shell_job, file_locks, ..DumpOptions::default() },
            ..plain.clone()
        };
        if version.is_none_or(|version| !KNOWN.contains(&version)) {
            prop_assert!(!is_refused(&kind, &plain));
        }
        prop_assert!(is_refused(&kind, &plain) || !is_refused(&kind, &allowed));
    }
}
