//! CRIU's configuration during a restore.

use std::path::Path;

use crate::bundle::Bundle;
use crate::criu::config::{self, ExternalMount, UserConfig, is_one_word};
use crate::manifest::DumpOptions;
use crate::phase::BoxError;
use crate::policy::Policy;
use crate::workdir::WorkDir;

/// The configuration that the restore needs; dropping it puts back what the user wants.
pub(super) struct ConfigForRestore {
    work: WorkDir,
    users: String,
}

impl ConfigForRestore {
    /// Has CRIU handle what it handled at the dump, as far as that is recorded, what the user's
    /// configuration says and what the annotations do; and find the mounts `along` and the cgroup
    /// `cgroup_root`. (A path that is not one word cannot be told.)
    pub(super) fn write(
        bundle: &Bundle,
        recorded: Option<&DumpOptions>,
        along: &[ExternalMount],
        cgroup_root: Option<&str>,
    ) -> Result<Self, BoxError> {
        let config = UserConfig::load(bundle.user_criu_config())?;
        let policy = Policy::of(&bundle.annotations).options;
        let all = recorded.map(|recorded| recorded.or(&policy));
        let work = WorkDir::of(&bundle.path);
        let mut text = config.for_restore(all.as_ref().unwrap_or(&policy), along);
        if let Some(path) = cgroup_root.filter(|path| is_one_word(Path::new(path))) {
            text.push_str(&format!("\ncgroup-root {path}\n"));
        }
        config::write(&work.criu_config(), &text)?;
        let users = config.for_restore(&policy, &[]);
        Ok(Self { work, users })
    }
}

impl Drop for ConfigForRestore {
    fn drop(&mut self) {
        if let Err(error) = config::write(&self.work.criu_config(), &self.users) {
            tracing::warn!(%error, "the CRIU configuration of a restore stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dumped_is_restored_and_what_an_annotation_says_stays() {
        let dir = tempfile::tempdir().unwrap();
        let work = WorkDir::of(dir.path());
        crate::private::create_dir(work.path()).unwrap();
        let ours = work.criu_config();
        let annotations = [
            ("org.criu.config", ours.to_str().unwrap()),
            ("io.remap.user-criu-config", ""),
            ("io.remap.file-locks", "true"),
        ];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bundle = Bundle {
            path: dir.path().to_owned(),
            mounts: vec![],
            annotations: annotations.into(),
        };
        let read = || std::fs::read_to_string(work.criu_config()).unwrap();
        let recorded = DumpOptions {
            tcp_close: true,
            ..DumpOptions::default()
        };
        let config = {
            let along = [ExternalMount {
                key: "/a/b".into(),
                value: "/srv/b".into(),
            }];
            ConfigForRestore::write(&bundle, Some(&recorded), &along, Some("/g/c1")).unwrap()
        };
        assert_eq!(
            read(),
            "\ntcp-close\nfile-locks\nexternal mnt[/a/b]:/srv/b\n\ncgroup-root /g/c1\n"
        );
        drop(config);
        assert_eq!(read(), "\nfile-locks\n");
        let config = ConfigForRestore::write(&bundle, None, &[], Some("/g/c 1")).unwrap();
        assert_eq!(read(), "\nfile-locks\n");
        drop(config);
    }
}
