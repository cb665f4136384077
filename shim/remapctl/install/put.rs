//! Making the changes of an installation: all, or none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::change::Change;
use super::file;
use super::note::Note;
use super::plan::Plan;
use crate::host::config::Config;
use crate::host::service;

/// Does it, and says what remains to be done.
///
/// # Errors
/// It failed. What was changed is as before, unless the message says otherwise.
pub(super) fn put(plan: &Plan, restart: bool) -> Result<String> {
    let todo: Vec<&Change> = plan
        .changes
        .iter()
        .filter_map(|(change, done)| (!done).then_some(change))
        .collect();
    if !plan.is_done() {
        carry_out(plan, &todo)?;
    }
    let renamed = |change: &&&Change| !matches!(change, Change::Copy { .. });
    if todo.iter().any(|change| renamed(&change)) {
        return restarted(plan, restart);
    }
    Ok(if todo.is_empty() {
        "it is installed\n".to_owned()
    } else {
        "it is installed; new containers have it from now on\n".to_owned()
    })
}

fn carry_out(plan: &Plan, todo: &[&Change]) -> Result<()> {
    let mut note = plan
        .note
        .clone()
        .unwrap_or_else(|| Note::new(plan.way, plan.shim.clone(), plan.config.state()));
    note.left = None;
    note.shim.clone_from(&plan.shim);
    for (change, _) in &plan.changes {
        let noted = note
            .changes
            .iter_mut()
            .find(|(noted, _)| noted.path() == change.path());
        match noted {
            Some((noted, _)) => *noted = change.clone(),
            None => note
                .changes
                .push((change.clone(), Note::back_up(change.path())?)),
        }
    }
    // Before the first change, so that it can be taken back whatever happens.
    note.write()?;
    let mut before = Vec::new();
    let made = todo.iter().try_for_each(|change| {
        before.push(Before::of(change.path())?);
        change.make()
    });
    let made = made.and_then(|()| verify(plan));
    let Err(error) = made else {
        return Ok(());
    };
    for one in before.iter().rev() {
        one.put_back()
            .context("and it cannot be put back as it was; `remapctl uninstall` does it")?;
    }
    match &plan.note {
        Some(old) => old.write()?,
        None => note.remove()?,
    }
    Err(error.context("nothing was changed"))
}

/// containerd has to read its configuration as before, with the handler besides.
fn verify(plan: &Plan) -> Result<()> {
    let Some(handler) = &plan.handler else {
        return Ok(());
    };
    let now = Config::of(&plan.containerd)?;
    let there = now
        .handlers()
        .get(handler)
        .and_then(|handler| handler.shim.clone());
    if there.as_deref() != Some(&*plan.shim) {
        bail!("containerd does not see the handler {handler} in what was written");
    }
    if now.without_handler(handler) != plan.config.clone().without_handler(handler) {
        bail!(
            "with the handler {handler} containerd would read other parts of its configuration \
             otherwise than before; add it by hand, see the README"
        );
    }
    Ok(())
}

fn restarted(plan: &Plan, restart: bool) -> Result<String> {
    let unit = service::unit_of(plan.containerd.pid);
    match unit {
        Some(unit) if restart => {
            service::ask("restart", &unit)
                .context("it is installed, but containerd does not restart")?;
            Ok(format!("it is installed, and {unit} was restarted\n"))
        }
        unit => Ok(format!(
            "it is installed; restart containerd, which remembers what it took before (containers run on): systemctl restart {}\n",
            unit.as_deref().unwrap_or("containerd")
        )),
    }
}

/// What is at a path.
#[derive(Debug)]
struct Before {
    path: PathBuf,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Nothing,
    Link(PathBuf),
    File(Vec<u8>, u32),
}

impl Before {
    fn of(path: &Path) -> Result<Self> {
        let context = || format!("cannot read {}", path.display());
        let what = match fs::read_link(path) {
            Ok(to) => What::Link(to),
            Err(_) => match file::read(path).with_context(context)? {
                None => What::Nothing,
                Some(contents) => {
                    let mode = fs::metadata(path)
                        .with_context(context)?
                        .permissions()
                        .mode();
                    What::File(contents, mode & 0o7777)
                }
            },
        };
        Ok(Self {
            path: path.to_owned(),
            what,
        })
    }

    fn put_back(&self) -> Result<()> {
        // Where nothing can be written, nothing was.
        if Self::of(&self.path)?.what == self.what {
            return Ok(());
        }
        let done = match &self.what {
            What::Nothing => file::remove(&self.path),
            What::Link(to) => file::link(to, &self.path),
            What::File(contents, mode) => file::replace(&self.path, contents, *mode),
        };
        done.with_context(|| format!("cannot put back {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "old").unwrap();
        fs::set_permissions(at("file"), PermissionsExt::from_mode(0o640)).unwrap();
        file::link(Path::new("to"), &at("link")).unwrap();
        let names = ["file", "link", "none"];
        let before = names.map(|name| Before::of(&at(name)).unwrap());
        for name in names {
            file::replace(&at(name), b"new", 0o755).unwrap();
        }
        before.iter().for_each(|one| one.put_back().unwrap());
        assert_eq!(fs::read(at("file")).unwrap(), b"old");
        assert_eq!(
            fs::metadata(at("file")).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("to"));
        assert!(!at("none").exists());
    }
}
