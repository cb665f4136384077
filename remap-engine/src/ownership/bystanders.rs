//! Who holds nothing there, seen before the container is frozen.

use std::collections::HashSet;
use std::io;

use super::{all_pids, held_files};
use crate::mountinfo::Device;
use crate::parallel;
use crate::process::Process;

/// Processes that were seen to hold nothing on some file systems.
///
/// They go on while a container is frozen: to look at them takes long where there are many, and tells
/// as much a moment before. Whoever comes later, or held something, is looked at then.
#[derive(Debug, Default)]
pub struct Bystanders {
    devices: HashSet<Device>,
    pids: HashSet<i32>,
}

impl Bystanders {
    /// Looks at every process but those in `except`.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn look(devices: HashSet<Device>, except: &HashSet<i32>) -> io::Result<Self> {
        if devices.is_empty() {
            return Ok(Self::default());
        }
        let mut pids = all_pids()?;
        pids.retain(|pid| !except.contains(pid));
        let held_by_each = parallel::map(&pids, |pid| {
            let process = Process::pin(*pid).ok();
            let holds_none =
                process.is_some_and(|process| held_files(&process, &devices).is_empty());
            Ok::<_, io::Error>(holds_none.then_some(*pid))
        })?;
        Ok(Self {
            devices,
            pids: held_by_each.into_iter().flatten().collect(),
        })
    }

    /// Whether a process may hold something on `devices`.
    pub(super) fn without<'s>(&'s self, devices: &HashSet<Device>) -> impl Fn(i32) -> bool + 's {
        let are_known = devices.is_subset(&self.devices);
        move |pid| !are_known || !self.pids.contains(&pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn who_holds_nothing_is_passed_over_for_the_same_file_systems_only() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let dev = std::fs::metadata(dir.path()).unwrap().dev();
        let device = Device {
            major: rustix::fs::major(dev),
            minor: rustix::fs::minor(dev),
        };
        let nowhere = Device { major: 0, minor: 0 };
        let _held = std::fs::File::create(dir.path().join("held")).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let bystanders =
            |device| Bystanders::look(HashSet::from([device]), &HashSet::new()).unwrap();
        assert!(bystanders(device).without(&HashSet::from([device]))(own));
        let of_nowhere = bystanders(nowhere);
        assert!(!of_nowhere.without(&HashSet::from([nowhere]))(own));
        assert!(of_nowhere.without(&HashSet::from([device]))(own));
        assert!(of_nowhere.without(&HashSet::from([nowhere, device]))(own));
    }
}
