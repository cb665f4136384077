//! Unix sockets whose other end no task of the container holds.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::diag::{self, UnixSocket};
use super::socket::is_socket;
use super::{Found, Held, Holding, Kind};
use crate::process::ProcessError;

/// `SOCK_DGRAM`.
const DATAGRAM: u8 = 2;

/// Looks for them; `own` are the inodes of all sockets of the container.
///
/// CRIU looks for the other end among the sockets of the tasks' network namespaces.
pub(super) fn find(held: &Held, own: &HashSet<u64>, found: &mut Found) -> Result<(), ProcessError> {
    let mut all = HashMap::new();
    let mut seen = HashSet::new();
    let mut complete = true;
    for Holding { process, .. } in held.living() {
        if seen.insert(process.link("ns/net")?) {
            complete &= collect(diag::of_namespace(&process.open("ns/net")?), &mut all);
        }
    }
    if !complete {
        return Ok(());
    }
    let mut outside = outside(own, &all);
    if outside.is_empty() {
        return Ok(());
    }
    // Those of the host that the container reaches by a bind mount; only for their names.
    let mut host = HashMap::new();
    collect(diag::of_own_namespace(), &mut host);
    for (inode, other) in &mut outside {
        let peer = all.get(inode).map(|one| one.peer);
        let name = peer.and_then(|peer| host.get(&peer)?.name.as_deref());
        other.name = other.name.take().or_else(|| name.map(shown));
    }
    for (process, one) in held.uses().filter(|(_, one)| is_socket(one)) {
        if let Some(other) = outside.get(&one.inode) {
            let kind = match other.reach {
                Reach::Elsewhere => Kind::UnixElsewhere,
                Reach::Reconnects => Kind::UnixOutside { reconnects: true },
                Reach::Half => Kind::UnixOutside { reconnects: false },
            };
            let name = crate::text::escape(&one.name);
            let name = match &other.name {
                Some(other) => format!("{name} to {other}"),
                None => name,
            };
            found.add(kind, process, Some(one.kind.clone()), name);
        }
    }
    Ok(())
}

/// Returns whether the kernel has answered.
fn collect(answer: std::io::Result<Vec<UnixSocket>>, all: &mut HashMap<u64, UnixSocket>) -> bool {
    match answer {
        Ok(sockets) => {
            all.extend(sockets.into_iter().map(|one| (one.inode, one)));
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the kernel does not list Unix sockets; left to CRIU");
            false
        }
    }
}

/// How CRIU can have to do with the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It lives in no namespace of the tasks, and CRIU does not see it.
    Elsewhere,
    /// A restored socket can be connected to its name again.
    Reconnects,
    /// It would have half of a connection.
    Half,
}

/// The other end of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outside {
    reach: Reach,
    name: Option<String>,
}

/// The sockets among `own` whose other end is outside, by their inodes.
///
/// A descriptor that lies in the queue of a socket of the container (`SCM_RIGHTS`, unix(7)) belongs
/// to it as well and cannot be seen from here. So nothing is said if one of its queues holds
/// anything.
fn outside(own: &HashSet<u64>, all: &HashMap<u64, UnixSocket>) -> HashMap<u64, Outside> {
    let ours = || own.iter().filter_map(|inode| all.get(inode));
    if ours().any(|one| one.queued != 0) {
        return HashMap::new();
    }
    let waiting: HashSet<u64> = all.values().flat_map(|one| &one.waiting).copied().collect();
    let is_outside = |one: &&UnixSocket| match one.peer {
        // Its listener has not accepted it, and lives in no namespace of the tasks.
        0 => {
            let is_stream = one.kind != DATAGRAM && one.connected && !one.shut_down;
            is_stream && !waiting.contains(&one.inode)
        }
        peer => !own.contains(&peer),
    };
    ours()
        .filter(is_outside)
        .map(|one| {
            let other = all.get(&one.peer);
            let name = other.and_then(|other| other.name.as_deref());
            let reach = match other {
                Some(other) if other.kind == DATAGRAM && name.is_some() => Reach::Reconnects,
                Some(_) => Reach::Half,
                // One that waits to be accepted has no peer yet.
                None if one.peer == 0 => Reach::Half,
                None => Reach::Elsewhere,
            };
            let name = name.map(shown);
            (one.inode, Outside { reach, name })
        })
        .collect()
}

/// The name of a socket; an abstract one begins with a zero byte, which is shown as `@`.
fn shown(name: &[u8]) -> String {
    let text = match name.strip_prefix(b"\0") {
        Some(rest) => [b"@", rest].concat(),
        None => name.to_vec(),
    };
    crate::text::escape(&OsString::from_vec(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn socket(inode: u64, kind: u8, peer: u64) -> UnixSocket {
        UnixSocket {
            inode,
            kind,
            peer,
            name: None,
            queued: 0,
            connected: kind != DATAGRAM,
            shut_down: false,
            waiting: vec![],
        }
    }

    fn listed(sockets: &[UnixSocket]) -> HashMap<u64, UnixSocket> {
        sockets
            .iter()
            .cloned()
            .map(|one| (one.inode, one))
            .collect()
    }

    #[test]
    fn a_pair_inside_is_fine_and_half_of_one_is_not() {
        let all = listed(&[socket(5, 1, 6), socket(6, 1, 5), socket(7, 2, 0)]);
        assert_eq!(outside(&HashSet::from([5, 6, 7]), &all), HashMap::new());
        let found = outside(&HashSet::from([5, 7]), &all);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&5]);
        assert_eq!(found[&5].reach, Reach::Half);
    }

    #[test]
    fn a_datagram_socket_reconnects_to_a_name() {
        let mut log = socket(6, DATAGRAM, 0);
        let own = HashSet::from([5]);
        let found = |log: &UnixSocket| {
            let all = listed(&[socket(5, DATAGRAM, 6), log.clone()]);
            outside(&own, &all)[&5].clone()
        };
        assert_eq!(found(&log).reach, Reach::Half);
        log.name = Some(b"\0log".to_vec());
        let expected = Outside {
            reach: Reach::Reconnects,
            name: Some("@log".into()),
        };
        assert_eq!(found(&log), expected);
        // One that is not seen from here CRIU does not see either.
        let unseen = listed(&[socket(5, DATAGRAM, 6)]);
        assert_eq!(outside(&own, &unseen)[&5].reach, Reach::Elsewhere);
    }

    #[test]
    fn a_connection_that_waits_is_fine_if_its_listener_is_known_and_a_closed_one_always() {
        let own = HashSet::from([5, 6]);
        let mut listener = socket(7, 1, 0);
        let mut left = socket(6, 1, 0);
        left.shut_down = true;
        let found = |listener: &UnixSocket| {
            let all = listed(&[socket(5, 1, 0), left.clone(), listener.clone()]);
            outside(&own, &all).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(found(&listener), [5]);
        listener.waiting = vec![5];
        assert_eq!(found(&listener), [0; 0]);
    }

    #[test]
    fn nothing_is_said_while_a_descriptor_may_be_on_its_way() {
        let mut queue = socket(7, 1, 0);
        queue.queued = 1;
        let all = listed(&[socket(5, 1, 6), socket(6, 1, 5), queue]);
        assert_eq!(outside(&HashSet::from([5, 7]), &all), HashMap::new());
    }

    proptest! {
        /// Whatever is held inside is never said to be outside.
        #[test]
        fn only_sockets_with_a_foreign_peer_are_in_the_way(
            sockets in prop::collection::vec((1u64..9, 1u8..3, 0u64..9), 0..9),
            own in prop::collection::hash_set(1u64..9, 0..9),
        ) {
            let all: Vec<_> = sockets.iter().map(|(inode, kind, peer)| socket(*inode, *kind, *peer)).collect();
            let all = listed(&all);
            for inode in outside(&own, &all).keys() {
                prop_assert!(own.contains(inode) && !own.contains(&all[inode].peer));
            }
        }
    }
}
