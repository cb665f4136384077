//! Taking an installation back, while containers of the shim run on.
//!
//! Two things would end them if their shim's path just went. containerd remembers it and would start no
//! container any more; so the link of a drop-in leads to the stock shim as long as it runs (a restart
//! is not enough: it may look at once, as 2.1 does). And when it starts it forgets each task whose shim's path leads nowhere; so the path that is
//! noted for them is changed to that of a copy.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::args::Uninstall;
use super::change::Change;
use super::note::Note;
use super::{file, kept};
use crate::host::config::Config;
use crate::host::containerd::{self, Choice, Containerd};
use crate::host::shim::{self, Shim};
use crate::host::{bundles, lookup, service};
use crate::text::count;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Leaving {
    note: Option<Note>,
    /// The package's file, if that goes as well.
    package: Option<PathBuf>,
    containerd: Option<Containerd>,
    /// containerd's state directory.
    state: PathBuf,
    /// What containerd takes afterwards.
    stock: Option<PathBuf>,
}

/// Makes the plan, or says what is in the way.
///
/// # Errors
/// It cannot be told.
pub(super) fn plan(args: &Uninstall) -> Result<Result<Leaving, Vec<String>>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Err(vec!["not root; run it as root".to_owned()]));
    }
    let containerd = match containerd::choose(args.containerd) {
        Ok(containerd) => Some(containerd),
        Err(Choice::None) => None,
        Err(error) => return Ok(Err(vec![error.to_string()])),
    };
    let unit = |containerd: &Containerd| service::unit_of(containerd.pid);
    if args.restart && containerd.as_ref().is_some_and(|one| unit(one).is_none()) {
        return Ok(Err(vec![
            "containerd is no service of systemd: leave --restart away, and restart it yourself"
                .to_owned(),
        ]));
    }
    let note = Note::read()?;
    let config = containerd
        .as_ref()
        .and_then(|containerd| Config::of(containerd).ok());
    let noted = || note.as_ref().map(|note| note.state.clone());
    let state = config.map(|config| config.state()).or_else(noted);
    let state = state.unwrap_or_else(|| "/run/containerd".into());
    let shims = containerd
        .iter()
        .flat_map(|one| lookup::shims(one, lookup::STOCK));
    let links = links(note.as_ref());
    let is_ours =
        |path: &Path| links.contains(&path) || matches!(shim::ask(path), Ok(Shim::Ours(_)));
    let stock = shims.into_iter().find(|path| !is_ours(path));
    Ok(Ok(Leaving {
        package: args.package.clone(),
        containerd,
        state,
        stock,
        note,
    }))
}

fn links(note: Option<&Note>) -> Vec<&Path> {
    let changes = note.into_iter().flat_map(|note| &note.changes);
    let links = changes.filter_map(|(change, _)| match change {
        Change::Link { path, .. } => Some(&**path),
        _ => None,
    });
    links.collect()
}

impl Leaving {
    /// Whether there is nothing to be taken back.
    pub(super) fn is_nothing(&self) -> bool {
        self.note.is_none() && self.package.is_none()
    }

    /// Whether the link of a drop-in has to stay, as containerd runs.
    fn waits(&self) -> bool {
        let is_left = self.note.as_ref().is_some_and(|note| note.left.is_some());
        is_left && self.containerd.is_some()
    }

    /// Lines for a reader.
    pub(super) fn show(&self) -> String {
        let Some(note) = &self.note else {
            return "nothing is installed by remapctl\n".to_owned();
        };
        if self.waits() {
            return String::new();
        }
        let mut out = format!("{} is taken back:\n", note.way.text());
        for (change, before) in note.changes.iter().rev() {
            let path = change.path().display();
            out += &match (change, before) {
                (Change::Append { .. }, _) => {
                    format!("  remove the part of remapctl from {path}\n")
                }
                (Change::Copy { .. }, Some(_)) => format!("  put back {path} as it was\n"),
                _ => format!("  remove {path}\n"),
            };
        }
        out
    }

    /// Does it, and says what remains to be done.
    ///
    /// # Errors
    /// Something is left, which is noted: the same again goes on with it.
    pub(super) fn carry_out(mut self, restart: bool) -> Result<String> {
        let mut out = String::new();
        let users = self.keep_for_users()?;
        if users > 0 {
            let run = if users == 1 { "runs" } else { "run" };
            out += &format!(
                "{} of this shim {run} on, by a copy of it, {}\n",
                count(users, "container", "containers"),
                kept::path().display()
            );
        }
        let Some(mut note) = self.note.take() else {
            return Ok(out);
        };
        if note.left.is_none() {
            self.take_back(&mut note)?;
        }
        let unit = self.containerd.as_ref();
        let unit = unit.and_then(|containerd| service::unit_of(containerd.pid));
        let stopped = unit.as_ref().filter(|_| restart);
        if let Some(unit) = stopped {
            service::ask("stop", unit)
                .context("containerd does not stop; the same again goes on")?;
            self.containerd = None;
        }
        self.note = Some(note);
        if !self.waits() {
            let finished = self.finish();
            if let Some(unit) = stopped {
                service::ask("start", unit).context("containerd does not start again")?;
            }
            finished?;
            return Ok(out + "it is uninstalled\n");
        }
        out += "new containers have the stock shim; the name that containerd remembers stays, as a link to it";
        if self.package.is_some() {
            return Ok(out + "\n");
        }
        let unit = unit.as_deref().unwrap_or("containerd");
        Ok(out
            + &format!(
                ", as long as containerd runs: systemctl stop {unit}; remapctl uninstall --yes; systemctl start {unit}\n"
            ))
    }

    /// The rest, while containerd does not run.
    fn finish(&mut self) -> Result<()> {
        let Some(note) = self.note.take() else {
            return Ok(());
        };
        self.hand_over(&note)?;
        for (change, before) in note.changes.iter().rev() {
            change.take_back(before.as_deref())?;
        }
        note.remove()
    }

    /// Bundles that name a path which goes get that of a copy; how many.
    fn keep_for_users(&self) -> Result<usize> {
        let note = self.note.as_ref().filter(|note| note.left.is_none());
        let links = links(note);
        let copies = note.into_iter().flat_map(|note| &note.changes);
        let copies = copies.filter_map(|(change, before)| match change {
            Change::Copy { path, .. } if before.is_none() => Some(&**path),
            _ => None,
        });
        let files: Vec<&Path> = copies.chain(self.package.as_deref()).collect();
        let goes = |path: &Path| {
            links.contains(&path)
                || files
                    .iter()
                    .any(|file| *file == path || lookup::is_same(file, path))
        };
        let mut users = Vec::new();
        for bundle in bundles::all(&self.state)? {
            if bundles::shim_of(&bundle).is_some_and(|path| goes(&path)) {
                users.push(bundle);
            }
        }
        let shim = note
            .map(|note| note.shim.as_path())
            .or(self.package.as_deref());
        if let Some(shim) = shim
            && !users.is_empty()
        {
            let kept = kept::make(shim)?;
            for bundle in &users {
                bundles::set_shim(bundle, &kept)?;
            }
        }
        Ok(users.len())
    }

    /// Everything but the link, if containerd remembers that.
    fn take_back(&self, note: &mut Note) -> Result<()> {
        let stays = self.containerd.as_ref().zip(self.stock.as_ref());
        let mut rest = Vec::new();
        for (change, before) in std::mem::take(&mut note.changes).into_iter().rev() {
            match (&change, stays) {
                (Change::Link { path, .. }, Some((_, stock))) if path.is_symlink() => {
                    file::link(stock, path).with_context(|| {
                        format!("cannot lead {} to the stock shim", path.display())
                    })?;
                    rest.push((change, before));
                }
                _ => change.take_back(before.as_deref())?,
            }
        }
        note.changes = rest;
        note.left = stays
            .filter(|_| !note.changes.is_empty())
            .map(|(_, stock)| stock.clone());
        note.write()
    }

    /// Containers that the stock shim was started for by the link have its own path from now on.
    fn hand_over(&self, note: &Note) -> Result<()> {
        let Some(stock) = &note.left else {
            return Ok(());
        };
        let links = links(Some(note));
        for bundle in bundles::all(&self.state)? {
            if bundles::shim_of(&bundle).is_some_and(|path| links.contains(&&*path)) {
                bundles::set_shim(&bundle, stock)?;
            }
        }
        Ok(())
    }
}
