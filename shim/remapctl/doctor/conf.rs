//! CRIU configuration of the administrator's, which stays in force.

use std::path::{Path, PathBuf};

use remap_engine::criu::config::{DEFAULT_PATH, UserConfig};
use remap_engine::phase::report;

use super::Check;

/// Read by CRIU itself (criu(8), "CONFIGURATION FILES").
const OF_ALL: &str = "/etc/criu/default.conf";

/// Options that undo what a checkpoint or a restore asks for, and what each does.
const IN_THE_WAY: [(&str, &str); 10] = [
    ("images-dir", "the checkpoint goes elsewhere"),
    ("work-dir", "CRIU's log is not found"),
    ("log-file", "CRIU's log is not found"),
    (
        "leave-running",
        "a container that is to end with its checkpoint runs on",
    ),
    (
        "leave-stopped",
        "the container stands still after its checkpoint",
    ),
    ("track-mem", "the memory is marked, for no use"),
    ("auto-dedup", "images of an earlier checkpoint are changed"),
    ("lazy-pages", "the memory is not restored"),
    ("skip-mnt", "mounts are not saved"),
    ("empty-ns", "the network is not saved"),
];

/// Whether they hold something that is in the way.
pub(super) fn checks() -> Vec<Check> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".criu/default.conf"));
    let files = [Some(PathBuf::from(DEFAULT_PATH)), Some(OF_ALL.into()), home];
    let files: Vec<PathBuf> = files
        .into_iter()
        .flatten()
        .filter(|file| file.exists())
        .collect();
    if files.is_empty() {
        return vec![Check::ok("criu-conf", "CRIU has no configuration of yours")];
    }
    files.iter().map(|file| of_file(file)).collect()
}

fn of_file(file: &Path) -> Check {
    const NAME: &str = "criu-conf";
    let edit = format!("editor {}", file.display());
    let config = match UserConfig::load(file.to_str()) {
        Ok(config) => config,
        Err(error) => return Check::failure(NAME, report(&error)).remedy(edit),
    };
    let limit = match config.ghost_limit_bytes() {
        Ok(limit) => limit,
        Err(error) => return Check::failure(NAME, report(&error)).remedy(edit),
    };
    let mut odd: Vec<String> = IN_THE_WAY
        .iter()
        .filter(|(option, _)| config.is_on(option))
        .map(|(option, effect)| format!("{option}: {effect}"))
        .collect();
    if let Some(limit) = limit {
        odd.push(format!(
            "ghost-limit: larger deleted files than {limit} bytes are refused"
        ));
    }
    if config.is_on("action-script") {
        odd.push("action-script: it can forbid each checkpoint".to_owned());
    }
    if odd.is_empty() {
        return Check::ok(NAME, format!("{}: nothing in the way", file.display()));
    }
    let what = format!("{}: {}", file.display(), odd.join("; "));
    Check::warning(NAME, what).remedy(edit)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("runc.conf");
        let look = |text: &str| {
            std::fs::write(&file, text).unwrap();
            of_file(&file)
        };
        assert_eq!(
            look("# leave-running\ntcp-established\n").outcome,
            Outcome::Ok
        );
        let check = look("tcp-established\nleave-running\nghost-limit 2M\n");
        assert_eq!(check.outcome, Outcome::Warning);
        for part in ["leave-running", "2097152 bytes", "runc.conf"] {
            assert!(check.what.contains(part), "{check:?}");
        }
        assert_eq!(look("ghost-limit many").outcome, Outcome::Failure);
    }
}
