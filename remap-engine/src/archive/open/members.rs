//! The files of the plain form in a tar.

use super::describe::{DOCUMENTS, Found, LIMIT};
use super::problem::Problem;
use super::sink::{Sink, Where};
use super::tar::{Member, TarReader};
use crate::archive::foreign::{DIRECTORY, KEPT};
use crate::archive::{ROOTFS_DIFF_FILE, name};

/// Which names the files have in the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Their own.
    Plain,
    /// Podman's: images are in a directory, and other things beside it.
    Podman,
}

/// What a member is.
#[derive(Debug, PartialEq, Eq)]
enum Place<'n> {
    /// A file of the plain form.
    File(&'n str),
    /// One that is there for others.
    Beside(&'n str),
    /// Nothing that belongs to a checkpoint.
    Else,
}

impl Naming {
    fn place(self, member: &Member) -> Place<'_> {
        let path = member.name.as_str();
        if member.is_directory {
            return Place::Else;
        }
        let place = match self {
            Self::Plain => Place::File(path),
            Self::Podman => match path.strip_prefix(DIRECTORY) {
                Some(path) => Place::File(path),
                None if path == ROOTFS_DIFF_FILE || KEPT.contains(&path) => Place::File(path),
                None => Place::Beside(path),
            },
        };
        match place {
            Place::File(path) | Place::Beside(path) if !name::is_plain(path) => Place::Else,
            place => place,
        }
    }
}

/// Reads the documents, and lists the files; if one of the documents is a list, only as far as there
/// are documents.
pub(super) fn scan(naming: Naming, tar: &mut TarReader<'_>) -> Result<Found, Problem> {
    let mut found = Found::default();
    let mut document = None;
    while let Some(member) = tar.next()? {
        let name = match naming.place(&member) {
            Place::File(name) => {
                found.sizes.insert(name.to_owned(), member.size);
                name
            }
            Place::Beside(name) => name,
            Place::Else => continue,
        };
        if !DOCUMENTS.contains(&name) {
            continue;
        }
        found.texts.insert(name.to_owned(), tar.text(LIMIT)?);
        if document.is_none() {
            document = found.document()?;
        }
        if let Some(document) = &document
            && found.has_all(document)
        {
            break;
        }
    }
    Ok(found)
}

/// Gives all files to the sink. `is_ours`: nothing else may be there.
pub(super) fn stream(
    naming: Naming,
    is_ours: bool,
    tar: &mut TarReader<'_>,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Problem> {
    while let Some(member) = tar.next()? {
        let place = naming.place(&member);
        let is_directory = member.is_directory
            && (member.name.is_empty() || member.name == DIRECTORY.trim_end_matches('/'));
        match place {
            Place::Else if is_ours && !is_directory => {
                sink.fault(&member.name, "does not belong there");
            }
            Place::Else => {}
            Place::Beside(_) if !is_ours => {}
            place => {
                let mut section = tar.section(false);
                match place {
                    Place::File(name) => sink.take(Where::Plain, name, &mut section)?,
                    Place::Beside(name) => sink.take(Where::Beside, name, &mut section)?,
                    Place::Else => {}
                }
                section.end()?;
            }
        }
        if sink.is_done() {
            return Ok(());
        }
    }
    Ok(())
}
