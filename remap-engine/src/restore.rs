//! The restore, as one transaction.
//!
//! Whatever fails, the mounts of the target are afterwards as they were, and nothing that the
//! restore made stays.
//!
//! | phase | what it does | how a later failure undoes it | after a kill of this process |
//! |---|---|---|---|
//! | verify | checks every file against its digest | changes nothing | |
//! | fit | finds the place of each mount's contents, and whether [others](crate::together) wait there; waits for the [locks](crate::tmpfs_lock) of its tmpfs | changes nothing | |
//! | fit | finds the place of each name of a ghost, and that it is free | changes nothing | |
//! | populate | stashes the old contents, puts in the new ones | [`Populated::rollback`] | by its journal ([`recover`]) |
//! | populate | makes the names `link_remap.N` that nothing brings ([`crate::linked`]) | they are removed | by their journal ([`recover`]) |
//! | restore | CRIU brings the tasks back; held, it waits until ghosts have their names | [`HalfRestored`] ends them, and the runtime forgets the container; [`Relink::rollback`] removes the names | by their notes ([`end_tasks`], [`recover`]) |
//! | commit | gives up the old contents | is not undone: the tasks run | the bundle goes, and the stash with it |

mod companions;
mod config;
mod names;

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;
use crate::carry::{self, Beside, Mode, PopulateError, Populated, Recovery};
use crate::contents::archive_name;
use crate::fit::{self, Place};
use crate::half_restored::HalfRestored;
use crate::lent::Lent;
use crate::linked::{self, Links};
use crate::manifest::{DumpOptions, FILE_NAME, FileSystem, Manifest};
use crate::ownership::{self, Wanted};
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::PLAN_FILE;
use crate::private;
use crate::relink::Relink;
use crate::sockets;
use crate::tmpfs_lock::TmpfsLocks;
use crate::workdir::WorkDir;
use crate::{time_limit, watchdog};

use self::companions::Companions;
use self::config::ConfigForRestore;
use self::names::{Names, NotHeld};

/// By which journals are found in the directory of the stashes.
const JOURNAL_EXTENSION: &str = "json";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The bundle of the container to be restored, adopted (see [`crate::bundle::adopt`]).
    pub bundle: PathBuf,
    /// The checkpoint.
    pub image_dir: PathBuf,
    /// CRIU's working directory.
    pub work_dir: PathBuf,
    /// The executable that acts as CRIU's action script when called as
    /// [`crate::hold::SCRIPT_NAME`].
    pub script: PathBuf,
}

/// How the tasks are restored: runc's part, given by the caller.
pub trait Restorer: Sync {
    /// Restores the tasks with CRIU, with the options that were recorded at the dump if it was
    /// made by this engine.
    ///
    /// # Errors
    /// CRIU failed, or the runtime; tasks that are left are the engine's concern.
    fn restore(&self, options: Option<&DumpOptions>) -> Result<(), BoxError>;

    /// Kills the runtime that restores, if it still runs, so that [`Restorer::restore`] returns.
    /// CRIU is the engine's concern.
    fn abort(&self);

    /// Removes what the runtime keeps of a container whose restore has failed. No task of it runs.
    fn discard(&self);
}

/// Restores a checkpoint. One that the stock shim made has no manifest and is handed to CRIU as it
/// is.
///
/// # Errors
/// The phase that failed, and why. The mounts are as they were, and no task of the container is
/// left; except if they cannot be put back, where the error says what is kept where.
pub fn restore(request: &RestoreRequest, restorer: &dyn Restorer) -> Result<(), PhaseError> {
    let bundle = Phase::Verify.run(|| Bundle::load(&request.bundle))?;
    let manifest = Phase::Verify.run(|| verify(request))?;
    let places = Phase::Fit.run(|| match &manifest {
        Some(manifest) => fit::fit(&bundle, &manifest.mounts),
        None => Ok(Vec::new()),
    })?;
    let links = Phase::Fit.run(|| match &manifest {
        Some(manifest) => Links::fit(&bundle, &manifest.links),
        None => Links::fit(&bundle, &[]),
    })?;
    let work = WorkDir::of(&request.bundle);
    let _locks = Phase::Fit.run(|| lock(&bundle, &places))?;
    let ghosts = manifest
        .as_ref()
        .map_or(&[][..], |manifest| &manifest.ghosts);
    let mut relink = Phase::Fit.run(|| Relink::prepare(&bundle, ghosts, &work.relink_note()))?;
    let together = manifest
        .as_ref()
        .and_then(|manifest| manifest.together.as_ref());
    let companions = Phase::Fit.run(|| Companions::expect(&bundle, together, &places))?;
    let populated = Phase::Populate.run(|| populate_all(request, &work, &places, &companions))?;
    let options = manifest.as_ref().map(|manifest| &manifest.options);
    let restored = Phase::Populate
        .run(|| links.make(&work.links_journal()))
        .and_then(|made| {
            let result =
                Phase::Restore.run(|| run(request, &bundle, restorer, options, &mut relink));
            if let Err(error) = made.remove() {
                let error = crate::phase::report(&error);
                tracing::error!(error, "a name link_remap.* of a restore stays");
            }
            result
        });
    match restored {
        Ok(()) => {
            companions.stay();
            if let Err(error) = Phase::Commit.run(|| relink.commit()) {
                let error = crate::phase::report(&error);
                tracing::warn!(error, "a note of a restore stays in the bundle");
            }
            if let Err(error) = Phase::Commit.run(|| finish(&work, populated, Populated::commit)) {
                // The tasks run: what is left lies in the bundle and goes with it.
                tracing::warn!(
                    error = crate::phase::report(&error),
                    "old contents of the mounts are left"
                );
            }
            Ok(())
        }
        Err(mut error) => {
            let names = relink
                .rollback()
                .map_err(|error| crate::phase::report(&error).into());
            let mounts = finish(&work, populated, Populated::rollback);
            if let Err(undo) = names.and(mounts) {
                error.source =
                    format!("{}; moreover {undo}", crate::phase::report(&*error.source)).into();
            }
            Err(error)
        }
    }
}

/// Waits until no other dump or restore is under way on a tmpfs that gets contents.
fn lock(bundle: &Bundle, places: &[Place]) -> Result<TmpfsLocks, BoxError> {
    let limit = (time_limit::RESTORE.of(bundle)?, &time_limit::RESTORE);
    let devices = places.iter().map(|place| place.device);
    let holder = bundle.path.display().to_string();
    Ok(TmpfsLocks::take(devices, &holder, limit)?)
}

/// Restores the tasks under the time limit. After a failure none of them is left.
fn run(
    request: &RestoreRequest,
    bundle: &Bundle,
    restorer: &dyn Restorer,
    options: Option<&DumpOptions>,
    relink: &mut Relink,
) -> Result<(), BoxError> {
    let RestoreRequest {
        image_dir,
        work_dir,
        ..
    } = request;
    let limit = time_limit::RESTORE.of(bundle)?;
    let _config = ConfigForRestore::write(bundle, options)?;
    relink.begin()?;
    let names = Names::begin(request, relink)?;
    let _lent = Lent::to_container(&bundle.path, image_dir)?;
    let half = HalfRestored::begin(&bundle.path, image_dir, work_dir)?;
    let (ended, end) = watchdog::end_signal()?;
    let (watched, named, restored) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let abort = || restorer.abort();
            watchdog::watch(
                ended.as_fd(),
                limit,
                time_limit::RESTORE.annotation,
                image_dir,
                abort,
            )
        });
        let serve = names.map(|names| scope.spawn(|| names.serve(ended.as_fd())));
        let restored = restorer.restore(options);
        drop(end);
        let panicked = |_| Err("a thread of the restore panicked".into());
        let named = serve.map_or(Ok(()), |serve| serve.join().unwrap_or_else(panicked));
        (watch.join().unwrap_or_else(panicked), named, restored)
    });
    // One that ended together with its time has ended. What CRIU says of a restore that we have
    // undone matters less than why; but of one that failed before, it says all.
    let result = match (watched, named, restored) {
        (_, named, Ok(())) => named,
        (watched, Err(why), Err(_)) if !why.is::<NotHeld>() => watched.and(Err(why)),
        (watched, _, Err(error)) => watched.and(Err(error)),
    };
    if result.is_err() {
        if let Err(error) = half.end() {
            tracing::error!(error, "end the tasks by hand");
        }
        restorer.discard();
    }
    if let Err(error) = HalfRestored::forget(&bundle.path) {
        tracing::warn!(%error, "the note of a restore stays in the bundle");
    }
    result
}

/// Ends the tasks of a restore whose process ended in the middle of it. Does nothing if there was
/// none.
///
/// # Errors
/// They do not end.
pub fn end_tasks(bundle: &Path) -> Result<(), BoxError> {
    if let Some(half) = HalfRestored::find(bundle)? {
        half.end()?;
        HalfRestored::forget(bundle)?;
    }
    Ok(())
}

/// Takes back a restore whose process ended in the middle of it. Does nothing if there was none.
///
/// # Errors
/// The mounts cannot be put back; the error says what is kept where.
pub fn recover(bundle: &Path) -> Result<(), BoxError> {
    let names = Relink::recover(&WorkDir::of(bundle).relink_note());
    let mounts = recover_mounts(bundle);
    let links = linked::recover(&WorkDir::of(bundle).links_journal());
    names.map_err(|error| crate::phase::report(&error))?;
    links.map_err(|error| crate::phase::report(&error))?;
    mounts
}

/// The same for the contents of mounts.
fn recover_mounts(bundle: &Path) -> Result<(), BoxError> {
    let stash = WorkDir::of(bundle).stash();
    let entries = match std::fs::read_dir(&stash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut first_error = None;
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != JOURNAL_EXTENSION)
        {
            continue;
        }
        match carry::recover(&path) {
            Ok(Recovery::OtherTarget { stash: Some(stash) }) => {
                let stash = stash.display();
                tracing::warn!(%stash, "the mount that a restore had replaced is gone; its old contents are here");
            }
            Ok(_) => {}
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) => Err(crate::phase::report(&error).into()),
        None => Ok(()),
    }
}

/// A checkpoint that was not completed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the checkpoint in {0} is incomplete: it has contents of mounts, but no {FILE_NAME}; take it anew, or copy all of it"
)]
struct Incomplete(PathBuf);

fn verify(request: &RestoreRequest) -> Result<Option<Manifest>, BoxError> {
    let dir = &request.image_dir;
    let manifest = Manifest::read(dir)?;
    match &manifest {
        Some(manifest) => manifest.verify(dir)?,
        // The stock shim's checkpoints have nothing of ours.
        None if dir.join(PLAN_FILE).exists() || dir.join(archive_name(0)).exists() => {
            return Err(Incomplete(dir.clone()).into());
        }
        None => {}
    }
    Ok(manifest)
}

/// Populates every place; on failure those that were populated are put back.
fn populate_all(
    request: &RestoreRequest,
    work: &WorkDir,
    places: &[Place],
    companions: &Companions,
) -> Result<Vec<Populated>, BoxError> {
    private::create_dir(&work.stash())?;
    let mut done = Vec::new();
    for (index, place) in places.iter().enumerate() {
        match populate(request, work, index, place, companions) {
            Ok(populated) => done.push(populated),
            Err(error) => {
                return Err(match finish(work, done, Populated::rollback) {
                    Ok(()) => error,
                    Err(undo) => {
                        format!("{}; moreover {undo}", crate::phase::report(&*error)).into()
                    }
                });
            }
        }
    }
    Ok(done)
}

fn populate(
    request: &RestoreRequest,
    work: &WorkDir,
    index: usize,
    place: &Place,
    companions: &Companions,
) -> Result<Populated, BoxError> {
    let wanted = Wanted {
        device: place.device,
        extent: place.extent()?,
        directories: true,
        own: HashSet::new(),
    };
    let others = ownership::other_users(&[wanted], &HashSet::new())?;
    let held = others.iter().flat_map(|others| &others.inodes);
    let held: HashSet<u64> = held.map(|(inode, _)| *inode).collect();
    let others = others.iter().flat_map(|others| &others.users);
    let mut users: Vec<String> = others.map(ToString::to_string).collect();
    let sockets = sockets::live(&place.source)?;
    users.extend(
        sockets
            .iter()
            .map(|path| format!("the listener on {}", path.display())),
    );
    for user in &users {
        tracing::info!(user, target = %place.source.display(), "the target is in use: nothing there is replaced");
    }
    let mode = if users.is_empty() && !place.partial {
        let stash = work.stash().join(format!("old-{index}.tar"));
        Mode::Replace { stash }
    } else {
        let is_here = place.origin == Some(FileSystem::here(place.device)?);
        Mode::Add(Beside {
            held_here: is_here.then_some(held),
            together: companions.at(place),
        })
    };
    let populated = carry::populate(&carry::Request {
        archive: &request.image_dir.join(&place.archive),
        target: &place.source,
        journal: &journal_path(&work.stash(), index),
        mode,
    });
    populated.map_err(|source| {
        let target = place.source.clone();
        Box::new(PlaceError {
            target,
            users,
            partial: place.partial,
            source,
        })
        .into()
    })
}

/// A mount of the target cannot be populated.
#[derive(Debug, thiserror::Error)]
#[error("cannot populate {target}{}{}", in_use(.users), only_some(.partial))]
struct PlaceError {
    target: PathBuf,
    users: Vec<String>,
    partial: bool,
    #[source]
    source: PopulateError,
}

fn in_use(users: &[String]) -> String {
    if users.is_empty() {
        String::new()
    } else {
        format!(", which is in use by {}", users.join(", "))
    }
}

fn only_some(partial: &bool) -> &'static str {
    if *partial {
        ", to which the checkpoint only adds: others shared the tmpfs when it was taken"
    } else {
        ""
    }
}

/// Commits or takes back each populated place, and removes the directory of the stashes if all
/// went well.
fn finish(
    work: &WorkDir,
    populated: Vec<Populated>,
    end: impl Fn(Populated) -> Result<(), PopulateError>,
) -> Result<(), BoxError> {
    let mut first_error = None;
    for one in populated {
        if let Err(error) = end(one) {
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error {
        return Err(crate::phase::report(&error).into());
    }
    remove_dir(&work.stash())
}

fn remove_dir(path: &Path) -> Result<(), BoxError> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()).into())
        }
        _ => Ok(()),
    }
}

fn journal_path(stash: &Path, index: usize) -> PathBuf {
    stash.join(format!("journal-{index}.{JOURNAL_EXTENSION}"))
}

#[cfg(test)]
mod tests;
