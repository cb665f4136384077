//! The files that need care, those in the way first.

use std::collections::BTreeMap;

use remap_control::view::{File, Holder};

use super::columns::align;
use crate::text::{bytes, count, printable, wrapped};

/// How many files of one decision are listed.
const LISTED: usize = 20;

/// How many processes that hold a file are listed.
const PROCESSES: usize = 3;

/// What a decision means, in the order in which they are listed; others come first.
const DECISIONS: [(&str, &str); 13] = [
    (
        "unsupported",
        "would be lost or come back as another file: in the way",
    ),
    (
        "forbidden",
        "an annotation forbids that it is held: in the way",
    ),
    ("shared", "others hold it as well: in the way"),
    (
        "ghost",
        "no name is left; CRIU puts its contents into the images",
    ),
    (
        "ghost_relinked",
        "its contents go into the images, and its names are made again",
    ),
    (
        "ghost_nameless",
        "its contents go into the images, and its names do not come back",
    ),
    (
        "linked",
        "its name is gone and others live; it gets one from CRIU",
    ),
    (
        "relinked",
        "its name is gone and another lives, from which the restore links it: the target must have that",
    ),
    ("carried", "goes along, with all its names"),
    ("memfd", "a memory file, left to CRIU"),
    ("procfs", "of a process that has ended, left to CRIU"),
    ("stale_name", "looks deleted and is not, left to CRIU"),
    (
        "stays",
        "on a mount that is not carried: the target must have it",
    ),
];

pub(super) fn render(files: &[File]) -> String {
    if files.is_empty() {
        return "  none\n".to_owned();
    }
    let mut groups: BTreeMap<(usize, &str), Vec<&File>> = BTreeMap::new();
    for file in files {
        let known = DECISIONS
            .iter()
            .position(|(name, _)| *name == file.decision);
        let rank = known.map_or(0, |index| index + 1);
        groups.entry((rank, &file.decision)).or_default().push(file);
    }
    let heads = ["DECISION", "BYTES", "HELD BY PID", "NAME"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut legend = String::new();
    for ((_, decision), group) in groups {
        rows.extend(group.iter().take(LISTED).map(|file| row(file)));
        if let Some(more) = group.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let more = format!("and {more} more, which --json lists");
            rows.push(vec![
                printable(decision),
                String::new(),
                String::new(),
                more,
            ]);
        }
        let meaning = DECISIONS.iter().find(|(name, _)| *name == decision);
        if let Some((name, meaning)) = meaning {
            legend += &wrapped(&format!("  {name}: "), meaning, usize::MAX);
        }
    }
    align(&rows) + &legend
}

fn row(file: &File) -> Vec<String> {
    let mut names: Vec<String> = file
        .holders
        .iter()
        .map(|one| printable(&one.name))
        .collect();
    // A name that lives says more than one that is gone.
    names.sort_by_key(|name| (name.ends_with(" (deleted)"), name.clone()));
    names.dedup();
    let name = match &names[..] {
        [] => format!("inode {}", file.inode),
        [name] => name.clone(),
        [name, more @ ..] => {
            format!(
                "{name} (and {})",
                count(more.len(), "other name", "other names")
            )
        }
    };
    vec![
        printable(&file.decision),
        bytes(file.size_bytes),
        held_by(&file.holders),
        name,
    ]
}

/// The processes with how they hold it: `7 (fd 3, mapping), 8 (fd 3)`.
fn held_by(holders: &[Holder]) -> String {
    let mut processes: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for holder in holders {
        let ways = processes.entry(holder.pid).or_default();
        let how = printable(&holder.how());
        if !ways.contains(&how) {
            ways.push(how);
        }
    }
    let mut shown: Vec<String> = processes
        .iter()
        .take(PROCESSES)
        .map(|(pid, ways)| format!("{pid} ({})", ways.join(", ")))
        .collect();
    if let Some(more) = processes
        .len()
        .checked_sub(PROCESSES)
        .filter(|more| *more > 0)
    {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}
