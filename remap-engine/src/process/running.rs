//! The processes of a container that runs: they come and go while they are listed.

use std::collections::HashSet;

use super::{Process, ProcessError, pids};

/// `init` and its descendants, parents before children, each once. Those that end meanwhile are
/// left out; one whose parent ends meanwhile can be missed.
///
/// # Errors
/// There is no process `init`.
pub(crate) fn running_tree(init: i32) -> Result<Vec<Process>, ProcessError> {
    let mut tree = vec![Process::pin(init)?];
    let mut known = HashSet::from([init]);
    let mut next = 0;
    while let Some(process) = tree.get(next) {
        for child in process.children_now() {
            if known.insert(child) {
                tree.extend(Process::pin(child));
            }
        }
        next += 1;
    }
    Ok(tree)
}

impl Process {
    /// Its children, of the threads that are there to be asked.
    fn children_now(&self) -> Vec<i32> {
        let threads = self.threads().unwrap_or_default();
        let texts = threads
            .iter()
            .filter_map(|thread| thread.read("children").ok());
        texts
            .flat_map(|text| pids(&text).collect::<Vec<_>>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn children_that_end_are_left_out_and_those_that_stay_are_listed() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut stays = Command::new("sleep").arg("600").spawn().unwrap();
        let churn = std::thread::spawn(|| {
            for _ in 0..200 {
                Command::new("true").status().unwrap();
            }
        });
        let stays_pid = i32::try_from(stays.id()).unwrap();
        while !churn.is_finished() {
            let tree = running_tree(own).unwrap();
            let pids: Vec<i32> = tree.iter().map(Process::pid).collect();
            assert_eq!(pids[0], own);
            assert_eq!(pids.iter().filter(|pid| **pid == stays_pid).count(), 1);
        }
        churn.join().unwrap();
        stays.kill().unwrap();
        stays.wait().unwrap();
        assert!(running_tree(stays_pid).is_err());
    }
}
