//! What an installation changes.

use anyhow::Result;

use super::args::{Install, Way};
use super::change::Change;
use super::note::Note;
use super::{cri, place};
use crate::host::config::Config;
use crate::host::containerd::{self, Containerd};
use crate::host::{lookup, service};

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) way: Way,
    /// The shim's file afterwards.
    pub(super) shim: std::path::PathBuf,
    /// Each change, and whether it is made already.
    pub(super) changes: Vec<(Change, bool)>,
    pub(super) containerd: Containerd,
    /// containerd's configuration as it is now.
    pub(super) config: Config,
    /// The runtime handler, if one is added.
    pub(super) handler: Option<String>,
    /// What was done before.
    pub(super) note: Option<Note>,
}

/// Makes the plan, or says all that is in the way.
///
/// # Errors
/// It cannot be told.
pub(super) fn make(args: &Install) -> Result<Result<Plan, Vec<String>>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Err(vec!["not root; run it as root".to_owned()]));
    }
    let note = Note::read()?;
    let mut reasons = Vec::new();
    if let Some(note) = &note
        && note.way != args.way
    {
        reasons.push(format!(
            "it is installed as {}; `remapctl uninstall` first",
            note.way.text()
        ));
    }
    let source = place::source(args.shim.as_deref()).map_err(|reason| reasons.push(reason));
    let containerd = containerd::choose(args.containerd);
    let containerd = containerd.map_err(|error| reasons.push(error.to_string()));
    let config = containerd.as_ref().ok().map(Config::of);
    let config = config.and_then(|config| {
        let config = config.map_err(|error| reasons.push(remap_engine::phase::report(&error)));
        config.ok()
    });
    let (Ok(source), Ok(containerd), Some(config)) = (source, containerd, config) else {
        return Ok(Err(reasons));
    };
    if args.restart && service::unit_of(containerd.pid).is_none() {
        reasons.push(format!(
            "containerd (process {}) is no service of systemd: leave --restart away, and restart it yourself",
            containerd.pid
        ));
    }
    let home = place::home(&containerd, source, &args.dir);
    if !lookup::is_program(&home.shim) && !args.dir.is_dir() {
        reasons.push(format!(
            "there is no directory {}; name another with --dir",
            args.dir.display()
        ));
    }
    let mut changes: Vec<Change> = home.change.iter().cloned().collect();
    match args.way {
        Way::SideBySide => reasons.extend(place::unseen(&containerd, &home)),
        Way::DropIn => match linked(&containerd, &home, note.as_ref()) {
            Ok(link) => changes.push(link),
            Err(reason) => reasons.push(reason),
        },
        Way::Cri => match handler(args, &containerd, &config, &home, note.as_ref()) {
            Ok(part) => changes.push(part),
            Err(all) => reasons.extend(all),
        },
    }
    let is_noted = |change: &Change| {
        let noted = note.iter().flat_map(|note| &note.changes);
        noted
            .into_iter()
            .any(|(noted, _)| noted.path() == change.path())
    };
    let others = changes.iter().filter(|change| !is_noted(change));
    reasons.extend(others.filter_map(Change::obstacle));
    if !reasons.is_empty() {
        return Ok(Err(reasons));
    }
    let with_state = |change: Change| change.is_done().map(|done| (change, done));
    let changes: Result<Vec<_>> = changes.into_iter().map(with_state).collect();
    Ok(Ok(Plan {
        way: args.way,
        shim: home.shim,
        changes: changes?,
        containerd,
        config,
        handler: (args.way == Way::Cri).then(|| args.handler.clone()),
        note,
    }))
}

/// The link that is there already, or a new one.
fn linked(
    containerd: &Containerd,
    home: &place::Home,
    note: Option<&Note>,
) -> Result<Change, String> {
    let noted = note.into_iter().flat_map(|note| &note.changes);
    let noted = noted.into_iter().find_map(|(change, _)| match change {
        Change::Link { path, .. } => Some(path.clone()),
        _ => None,
    });
    match noted {
        Some(path) => Ok(Change::Link {
            to: home.shim.clone(),
            path,
        }),
        None => place::link(containerd, home),
    }
}

/// The handler's part, if the name is free.
fn handler(
    args: &Install,
    containerd: &Containerd,
    config: &Config,
    home: &place::Home,
    note: Option<&Note>,
) -> Result<Change, Vec<String>> {
    let change = cri::change(containerd, config, &home.shim, &args.handler)?;
    let noted = note.into_iter().flat_map(|note| &note.changes);
    let is_ours = noted
        .into_iter()
        .any(|(noted, _)| noted.path() == change.path());
    if config.handlers().contains_key(&args.handler) && !is_ours {
        return Err(vec![format!(
            "containerd has a runtime handler {} already; name another with --handler",
            args.handler
        )]);
    }
    Ok(change)
}

impl Plan {
    /// Whether nothing is to be changed.
    pub(super) fn is_done(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.left.is_none())
            && self.changes.iter().all(|(_, done)| *done)
    }

    /// Lines for a reader.
    pub(super) fn show(&self) -> String {
        let (pid, program) = (self.containerd.pid, self.containerd.program.display());
        let mut out = format!(
            "{} for containerd, process {pid}, {program}:\n",
            self.way.text()
        );
        for (change, done) in &self.changes {
            if *done {
                out += &format!("  as it should be: {}\n", change.path().display());
            } else {
                out += &change.show();
            }
        }
        if self.changes.is_empty() {
            out += &format!("  as it should be: {}\n", self.shim.display());
        }
        out
    }
}
