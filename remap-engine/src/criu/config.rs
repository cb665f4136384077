//! CRIU's configuration file (criu(8), "CONFIGURATION FILES").
//!
//! runc hands CRIU the file that the annotation `org.criu.config` names: a path is used, an empty
//! value means none, and without the annotation it is `/etc/criu/runc.conf`
//! (runc `libcontainer/criu_linux.go`, `handleCriuConfigurationFile`). The settings in it override
//! what runc asks for. At Create the annotation is pointed to a file of ours in the bundle, which
//! is written anew for each dump and restore: what the user configured, and what the dump needs.

use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::DumpOptions;
use crate::private;

/// The annotation that names the configuration file.
pub const ANNOTATION: &str = "org.criu.config";

/// The annotation that keeps what the user had in [`ANNOTATION`].
pub const USER_ANNOTATION: &str = "io.remap.user-criu-config";

/// Where runc looks without an annotation.
pub const DEFAULT_PATH: &str = "/etc/criu/runc.conf";

/// The ghost limit of CRIU if nobody sets one, in bytes (`DEFAULT_GHOST_LIMIT`).
pub const DEFAULT_GHOST_LIMIT_BYTES: u64 = 1 << 20;

/// The user's settings, kept as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserConfig {
    /// Where they come from, for messages.
    pub path: Option<PathBuf>,
    text: String,
}

/// What a dump needs to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpSettings {
    /// The script that CRIU runs at each stage.
    pub action_script: PathBuf,
    /// The largest ghost file to be dumped, in bytes, if the user's file does not limit them.
    pub ghost_limit_bytes: u64,
    /// What an annotation limits ghost files to, in bytes: it counts more than the user's file.
    pub annotated_ghost_limit_bytes: Option<u64>,
    /// What CRIU is to handle.
    pub options: DumpOptions,
    /// Where to look for files that are watched, each a path that is one word.
    pub scan_paths: Vec<PathBuf>,
    /// Mounts from outside of which the runtime does not tell.
    pub external: Vec<ExternalMount>,
}

/// A mount from outside the container (criu(8), `--external mnt[KEY]:VALUE`). Both are paths that are
/// one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalMount {
    /// At a dump the mount point, at a restore the name in the images.
    pub key: PathBuf,
    /// At a dump the name for the images, at a restore the path on the host.
    pub value: PathBuf,
}

impl ExternalMount {
    fn lines(all: &[Self]) -> String {
        all.iter()
            .map(|Self { key, value }| {
                format!("external mnt[{}]:{}\n", key.display(), value.display())
            })
            .collect()
    }
}

/// Whether a line of the configuration can hold the path as a value (`parse_statement`).
#[must_use]
pub fn is_one_word(path: &Path) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "#'\"\\".contains(c);
    path.to_str().is_some_and(|text| !text.contains(odd))
}

/// The configuration cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The user's file.
    #[error(
        "cannot read the CRIU configuration {path}; correct the annotation {ANNOTATION} or the file"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The value of an option.
    #[error("{path}: ghost-limit {value:?} is no size; write bytes, or a number with K, M or G")]
    GhostLimit {
        /// The file.
        path: PathBuf,
        /// What stands there.
        value: String,
    },
    /// Our file.
    #[error("cannot write the CRIU configuration {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl UserConfig {
    /// Reads the file that `annotation` (the user's value of [`ANNOTATION`]) stands for.
    ///
    /// A file that does not exist counts as empty, as for CRIU.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn load(annotation: Option<&str>) -> Result<Self, ConfigError> {
        let path = match annotation {
            Some("") => return Ok(Self::default()),
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(DEFAULT_PATH),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self {
                path: Some(path),
                text,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// The ghost limit that the user set, in bytes.
    ///
    /// # Errors
    /// The value is no size.
    pub fn ghost_limit_bytes(&self) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.value("ghost-limit") else {
            return Ok(None);
        };
        parse_size(value)
            .map(Some)
            .ok_or_else(|| ConfigError::GhostLimit {
                path: self.path.clone().unwrap_or_default(),
                value: value.to_owned(),
            })
    }

    /// What CRIU is to handle.
    #[must_use]
    pub fn options(&self) -> DumpOptions {
        DumpOptions {
            tcp_established: self.is_on("tcp-established"),
            tcp_close: self.is_on("tcp-close"),
            ext_unix_sk: self.is_on("ext-unix-sk"),
            shell_job: self.is_on("shell-job"),
            file_locks: self.is_on("file-locks"),
            ..DumpOptions::default()
        }
    }

    /// Whether an option without a value is set.
    #[must_use]
    pub fn is_on(&self, option: &str) -> bool {
        self.value(option).is_some()
    }

    /// The value of an option; the last one counts (`parse_config` of CRIU feeds getopt in order).
    fn value(&self, option: &str) -> Option<&str> {
        let mut found = None;
        for line in self.text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            if words.next() == Some(option) {
                found = words.next().or(Some(""));
            }
        }
        found
    }

    /// The text of the file for a dump.
    ///
    /// Our script decides after all of the user's have agreed.
    #[must_use]
    pub fn for_dump(&self, settings: &DumpSettings) -> String {
        let mut text = with_script(&self.text, &settings.action_script);
        text.push_str("\nlink-remap\n");
        text.push_str(&settings.options.lines());
        let unless_users = self.value("ghost-limit").is_none();
        let unless_users = unless_users.then_some(settings.ghost_limit_bytes);
        if let Some(limit) = settings.annotated_ghost_limit_bytes.or(unless_users) {
            text.push_str(&format!("ghost-limit {limit}\n"));
        }
        for path in &settings.scan_paths {
            text.push_str(&format!("irmap-scan-path {}\n", path.display()));
        }
        text.push_str(&ExternalMount::lines(&settings.external));
        text
    }

    /// The text of the file for a restore that is to handle `options`, and to find the mounts
    /// `external` on the host.
    #[must_use]
    pub fn for_restore(&self, options: &DumpOptions, external: &[ExternalMount]) -> String {
        let lines = options.lines() + &ExternalMount::lines(external);
        if lines.is_empty() {
            return self.text.clone();
        }
        format!("{}\n{lines}", self.text)
    }
}

/// The text of a configuration file, with a script of ours that runs after all others: CRIU runs
/// them in the reverse order of their mention (`add_script`).
#[must_use]
pub fn with_script(text: &str, script: &Path) -> String {
    format!("action-script {}\n{text}", script.display())
}

/// Writes the configuration file, readable by root only.
///
/// # Errors
/// The file cannot be written; an older one stays.
pub fn write(path: &Path, text: &str) -> Result<(), ConfigError> {
    private::write(path, text.as_bytes()).map_err(|source| ConfigError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Sizes as CRIU reads them: a number, perhaps with K, M or G (`parse_size`).
pub(crate) fn parse_size(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(['K', 'M', 'G']);
    let shift = match value.strip_prefix(digits)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> UserConfig {
        UserConfig {
            path: Some("/etc/criu/x.conf".into()),
            text: text.into(),
        }
    }

    fn settings() -> DumpSettings {
        DumpSettings {
            action_script: "/b/remap/remap-hook".into(),
            ghost_limit_bytes: 5 << 20,
            annotated_ghost_limit_bytes: None,
            options: DumpOptions::default(),
            scan_paths: vec![],
            external: vec![],
        }
    }

    #[test]
    fn what_the_user_set_stays() {
        let user = config("tcp-established # yes\naction-script /opt/mine\nghost-limit 2M\n");
        assert_eq!(user.ghost_limit_bytes().unwrap(), Some(2 << 20));
        let text = user.for_dump(&settings());
        assert!(text.starts_with("action-script /b/remap/remap-hook\ntcp-established # yes\n"));
        assert!(text.contains("\naction-script /opt/mine\n"));
        assert!(text.ends_with("\nlink-remap\n"));
        assert_eq!(text.matches("ghost-limit").count(), 1);
        let none = DumpOptions::default();
        assert!(!user.for_restore(&none, &[]).contains("remap-hook"));
    }

    #[test]
    fn what_annotations_say_comes_on_top_of_what_the_user_set() {
        let user = config("shell-job\nghost-limit 2M");
        let mut settings = settings();
        settings.options.file_locks = true;
        settings.annotated_ghost_limit_bytes = Some(7);
        let text = user.for_dump(&settings);
        assert!(
            text.ends_with("shell-job\nghost-limit 2M\nlink-remap\nfile-locks\nghost-limit 7\n"),
            "{text}"
        );
        assert_eq!(
            user.for_restore(&settings.options, &[]),
            "shell-job\nghost-limit 2M\nfile-locks\n"
        );
    }

    #[test]
    fn a_missing_newline_at_the_end_joins_no_options() {
        assert!(
            config("tcp-close")
                .for_dump(&settings())
                .contains("\ntcp-close\nlink-remap\nghost-limit 5242880\n")
        );
    }

    #[test]
    fn what_is_watched_is_told() {
        let settings = DumpSettings {
            scan_paths: vec!["/a".into(), "/b/c".into()],
            ..settings()
        };
        let text = config("").for_dump(&settings);
        assert!(text.ends_with("\nirmap-scan-path /a\nirmap-scan-path /b/c\n"));
    }

    #[test]
    fn mounts_from_outside_are_told() {
        let external = vec![ExternalMount {
            key: "/a/b".into(),
            value: "/srv/b".into(),
        }];
        let line = "\nexternal mnt[/a/b]:/srv/b\n";
        let none = DumpOptions::default();
        assert_eq!(config("").for_restore(&none, &external), line);
        let settings = DumpSettings {
            external,
            ..settings()
        };
        assert!(config("").for_dump(&settings).ends_with(line));
        assert!(is_one_word(Path::new("/a]:b")));
        for odd in ["/a b", "/a#b", "/a\"b", "/a\nb", "/a\\b"] {
            assert!(!is_one_word(Path::new(odd)), "{odd}");
        }
    }

    #[test]
    fn the_annotation_decides_which_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.conf");
        assert_eq!(
            UserConfig::load(path.to_str()).unwrap(),
            UserConfig::default()
        );
        std::fs::write(&path, "shell-job\n").unwrap();
        assert_eq!(UserConfig::load(path.to_str()).unwrap().text, "shell-job\n");
        assert_eq!(UserConfig::load(Some("")).unwrap(), UserConfig::default());
    }

    #[test]
    fn a_limit_that_is_no_size_is_refused_with_its_file() {
        let error = config("ghost-limit lots").ghost_limit_bytes().unwrap_err();
        assert!(error.to_string().contains("/etc/criu/x.conf"));
        assert_eq!(parse_size("4G"), Some(4 << 30));
        assert_eq!(parse_size("99999999999G"), None);
    }
}
