//! Ids of a user namespace, as mount options and bundles say them.

use std::fmt::Write as _;

use containerd_shim_protos::api::Mount;
use serde::Deserialize;
use serde_json::Value;

/// How the users and the groups inside a user namespace are called outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMap {
    users: Vec<Range>,
    groups: Vec<Range>,
}

/// A range of ids (OCI runtime specification, "User namespace mappings").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Range {
    #[serde(rename = "containerID")]
    inside: u32,
    #[serde(rename = "hostID")]
    outside: u32,
    size: u32,
}

/// The options by which containerd's overlay snapshotter asks for a mount that is mapped
/// (`snapshots/overlay`): not options of a file system.
const USERS: &str = "uidmap=";
const GROUPS: &str = "gidmap=";

impl IdMap {
    /// That of a bundle's `config.json`, if the runtime is to make a user namespace whose ids are
    /// not those of the host.
    pub(crate) fn of_config(config: &Value) -> Option<Self> {
        let ranges = |key| {
            let ranges = config.get("linux")?.get(key)?.clone();
            serde_json::from_value::<Vec<Range>>(ranges).ok()
        };
        let map = Self {
            users: ranges("uidMappings")?,
            groups: ranges("gidMappings")?,
        };
        let mut all = map.users.iter().chain(&map.groups);
        all.any(|range| range.inside != range.outside)
            .then_some(map)
    }

    /// Takes the map out of the mount's options; `None` if there is none. What cannot be read stays
    /// among the options, which the kernel then refuses.
    pub(super) fn take_from(options: &mut Vec<String>) -> Option<Self> {
        let of = |prefix| {
            let mut values = options.iter().filter_map(|one| one.strip_prefix(prefix));
            values.next().and_then(Range::parse_all)
        };
        let map = Self {
            users: of(USERS)?,
            groups: of(GROUPS)?,
        };
        options.retain(|one| !one.starts_with(USERS) && !one.starts_with(GROUPS));
        Some(map)
    }

    /// Has the mount mapped, as the snapshotter would.
    pub(super) fn ask_for(&self, mount: &mut Mount) {
        for (prefix, ranges) in [(USERS, &self.users), (GROUPS, &self.groups)] {
            let ranges: Vec<String> = ranges.iter().map(|range| range.text(':')).collect();
            mount.options.push(format!("{prefix}{}", ranges.join(",")));
        }
    }

    /// Whether the mount is asked for as a mapped one.
    pub(super) fn is_asked_for(mount: &Mount) -> bool {
        let mut options = mount.options.iter();
        options.any(|one| one.starts_with(USERS) || one.starts_with(GROUPS))
    }

    /// Whether the user of the host is one inside.
    pub(super) fn has_user(&self, user: u32) -> bool {
        self.users.iter().any(|range| {
            let offset = user.checked_sub(range.outside);
            offset.is_some_and(|offset| offset < range.size)
        })
    }

    /// What the user and the group that are called so inside are on the host; `None` if one of them
    /// is not there.
    pub(super) fn outside(&self, user: u32, group: u32) -> Option<(u32, u32)> {
        let find = |ranges: &[Range], id: u32| {
            ranges.iter().find_map(|range| {
                let offset = id.checked_sub(range.inside)?;
                (offset < range.size).then(|| range.outside.checked_add(offset))?
            })
        };
        Some((find(&self.users, user)?, find(&self.groups, group)?))
    }

    /// What to write to a process's `uid_map` and `gid_map` (user_namespaces(7)).
    pub(super) fn lines(&self) -> [String; 2] {
        [&self.users, &self.groups].map(|ranges| {
            ranges.iter().fold(String::new(), |mut lines, range| {
                let _ = writeln!(lines, "{}", range.text(' '));
                lines
            })
        })
    }
}

impl Range {
    /// `INSIDE:OUTSIDE:SIZE`, and more of them after commas.
    fn parse_all(text: &str) -> Option<Vec<Self>> {
        let parse = |text: &str| {
            let mut numbers = text.split(':').map(|number| number.parse().ok());
            let mut number = || numbers.next().flatten();
            let range = Self {
                inside: number()?,
                outside: number()?,
                size: number()?,
            };
            numbers.next().is_none().then_some(range)
        };
        text.split(',').map(parse).collect()
    }

    fn text(&self, between: char) -> String {
        let Self {
            inside,
            outside,
            size,
        } = self;
        format!("{inside}{between}{outside}{between}{size}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_for_is_taken() {
        let config = json!({"linux": {
            "uidMappings": [{"containerID": 0, "hostID": 100_000, "size": 10}],
            "gidMappings": [{"containerID": 0, "hostID": 7, "size": 1},
                            {"containerID": 1, "hostID": 200_000, "size": 9}]}});
        let map = IdMap::of_config(&config).unwrap();
        let mut mount = Mount {
            options: vec!["lowerdir=/a:/b".into()],
            ..Mount::default()
        };
        assert!(!IdMap::is_asked_for(&mount));
        map.ask_for(&mut mount);
        assert!(IdMap::is_asked_for(&mount));
        assert_eq!(
            mount.options,
            [
                "lowerdir=/a:/b",
                "uidmap=0:100000:10",
                "gidmap=0:7:1,1:200000:9"
            ]
        );
        assert_eq!(IdMap::take_from(&mut mount.options), Some(map.clone()));
        assert_eq!(mount.options, ["lowerdir=/a:/b"]);
        assert_eq!(map.lines(), ["0 100000 10\n", "0 7 1\n1 200000 9\n"]);
        assert_eq!(map.outside(0, 9), Some((100_000, 200_008)));
        assert_eq!(map.outside(0, 10), None);
        assert!(map.has_user(100_009));
        assert!(!map.has_user(100_010) && !map.has_user(0));
    }

    #[test]
    fn the_ids_of_the_host_need_no_map() {
        let same = json!([{"containerID": 0, "hostID": 0, "size": 10}]);
        let config = json!({"linux": {"uidMappings": same, "gidMappings": same}});
        assert_eq!(IdMap::of_config(&config), None);
        assert_eq!(IdMap::of_config(&json!({})), None);
    }

    #[test]
    fn what_cannot_be_read_stays() {
        for text in ["", "0:1", "0:1:2:3", "0:1:-2", "a:b:c", "0:1:2,"] {
            let mut options = vec![format!("uidmap={text}"), "gidmap=0:1:2".into()];
            let before = options.clone();
            assert_eq!(IdMap::take_from(&mut options), None, "{text}");
            assert_eq!(options, before);
        }
    }
}
