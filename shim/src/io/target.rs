//! What containerd asks for: a fifo's path, nothing, or a URI.

use std::path::PathBuf;

use super::IoError;

/// The streams of a process, as a create or exec request has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stdio {
    /// Where its input comes from.
    pub(crate) stdin: String,
    /// Where its output goes.
    pub(crate) stdout: String,
    /// Where its error output goes.
    pub(crate) stderr: String,
    /// Whether it has a terminal, which takes the place of all three.
    pub(crate) terminal: bool,
}

/// The streams, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Targets {
    pub(super) stdin: Target,
    pub(super) stdout: Target,
    pub(super) stderr: Target,
}

impl Stdio {
    /// Understands all three.
    ///
    /// # Errors
    /// [`IoError::Scheme`], [`IoError::Text`], [`IoError::Input`].
    pub(super) fn targets(&self) -> Result<Targets, IoError> {
        let stdin = Target::parse("stdin", &self.stdin)?;
        if !matches!(stdin, Target::Null | Target::Fifo(_)) {
            return Err(IoError::Input {
                uri: self.stdin.clone(),
            });
        }
        let stdout = Target::parse("stdout", &self.stdout)?;
        // One logger takes both outputs, as with the Go shim.
        let stderr = match &stdout {
            Target::Binary(_) => Target::Null,
            _ => Target::parse("stderr", &self.stderr)?,
        };
        Ok(Targets {
            stdin,
            stdout,
            stderr,
        })
    }

    /// Checks the request before anything is made for it.
    ///
    /// # Errors
    /// As the streams' opening would give them.
    pub(crate) fn check(&self) -> Result<(), IoError> {
        self.targets().map(drop)
    }

    /// What is to be opened or run.
    #[cfg(fuzzing)]
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let targets = self.targets().into_iter();
        let all = targets.flat_map(|targets| [targets.stdin, targets.stdout, targets.stderr]);
        all.filter_map(|target| match target {
            Target::Null => None,
            Target::Fifo(path) | Target::File(path) => Some(path),
            Target::Binary(uri) => Some(uri.path),
        })
        .collect()
    }
}

/// Why a text cannot be handed to the system.
const ZERO: &str = "it has a zero byte";

/// One stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// /dev/null
    Null,
    /// A fifo that containerd made.
    Fifo(PathBuf),
    /// A file to append to.
    File(PathBuf),
    /// A program that reads it.
    Binary(BinaryUri),
}

/// A logger and its arguments: `binary:///path?key=value&…`, or `binary-v2://…` (containerd 2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BinaryUri {
    /// The program.
    pub(super) path: PathBuf,
    /// Each key, followed by its value if that is not empty.
    pub(super) args: Vec<String>,
    /// It is ready only when it says so by a byte; else also when it closes its descriptor.
    pub(super) must_say: bool,
}

impl Target {
    /// Understands the field `stream` of a request.
    fn parse(stream: &'static str, uri: &str) -> Result<Self, IoError> {
        if uri.is_empty() {
            return Ok(Self::Null);
        }
        let text = |why| IoError::Text {
            stream,
            uri: uri.to_owned(),
            why,
        };
        let (scheme, rest) = match uri.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            // A path as it is, in which nothing is escaped.
            None if uri.contains('\0') => return Err(text(ZERO)),
            None => return Ok(Self::Fifo(uri.into())),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = decoded(path);
        let args: Vec<String> = form_urlencoded::parse(query.as_bytes())
            .flat_map(|(key, value)| [key.into_owned(), value.into_owned()])
            .filter(|word| !word.is_empty())
            .collect();
        if path.is_empty() {
            return Err(text("it has no path"));
        }
        if args.iter().chain([&path]).any(|text| text.contains('\0')) {
            return Err(text(ZERO));
        }
        match scheme {
            "fifo" => Ok(Self::Fifo(path.into())),
            "file" => Ok(Self::File(path.into())),
            "binary" | "binary-v2" => Ok(Self::Binary(BinaryUri {
                path: path.into(),
                args,
                must_say: scheme == "binary-v2",
            })),
            _ => Err(IoError::Scheme {
                stream,
                uri: uri.to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

/// The path of a URI, `%xx` undone; a plus stays a plus there.
fn decoded(path: &str) -> String {
    let escaped = path
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(path, _)| path.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        assert_eq!(Target::parse("stdout", "").unwrap(), Target::Null);
        for fifo in ["/run/f", "fifo:///run/f"] {
            assert_eq!(
                Target::parse("stdout", fifo).unwrap(),
                Target::Fifo("/run/f".into())
            );
        }
        assert_eq!(
            Target::parse("stdout", "file:///var/a%20b+c=d").unwrap(),
            Target::File("/var/a b+c=d".into())
        );
        let error = Target::parse("stdout", "stream://x")
            .unwrap_err()
            .to_string();
        assert!(error.contains("\"stream\" is not supported"), "{error}");
    }

    #[test]
    fn what_is_no_path_is_refused_by_its_field() {
        for uri in [
            "file://",
            "binary://?a=b",
            "fifo://",
            "/a\0",
            "file:///a%00",
            "binary:///a?%00",
        ] {
            let error = Target::parse("stderr", uri).unwrap_err();
            assert!(matches!(error, IoError::Text { .. }), "{uri:?}: {error}");
            assert!(error.to_string().contains("as stderr"), "{error}");
        }
    }

    #[test]
    fn nerdctls_logger() {
        for (scheme, must_say) in [("binary", false), ("binary-v2", true)] {
            let uri = format!(
                "{scheme}:///usr/bin/nerdctl?_NERDCTL_INTERNAL_LOGGING=%2Fvar%2Flib%2Fnerdctl"
            );
            let expected = Target::Binary(BinaryUri {
                path: "/usr/bin/nerdctl".into(),
                args: vec![
                    "_NERDCTL_INTERNAL_LOGGING".into(),
                    "/var/lib/nerdctl".into(),
                ],
                must_say,
            });
            assert_eq!(Target::parse("stdout", &uri).unwrap(), expected);
        }
    }

    #[test]
    fn input_comes_from_a_fifo_only() {
        let stdio = Stdio {
            stdin: "file:///x".into(),
            ..Stdio::default()
        };
        assert!(matches!(stdio.check(), Err(IoError::Input { .. })));
        assert!(Stdio::default().check().is_ok());
    }
}
