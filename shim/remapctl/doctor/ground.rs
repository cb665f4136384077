//! What all checks need to know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Check;
use crate::host::config::Config;
use crate::host::containerd::{self, Choice, Containerd};
use crate::host::{lookup, service};

/// containerd, if it can be seen, and what it says.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub(super) containerd: Option<Containerd>,
    pub(super) config: Option<Config>,
}

impl Ground {
    /// Finds containerd, `wanted` where there are several, and has it tell its configuration.
    pub(super) fn look(wanted: Option<u32>) -> (Self, Vec<Check>) {
        let mut checks = vec![root()];
        let mut ground = Self::default();
        match find(wanted) {
            Ok(containerd) => {
                checks.push(running(&containerd));
                ground.containerd = Some(containerd);
            }
            Err(check) => checks.push(check),
        }
        if let Some(containerd) = &ground.containerd {
            match Config::of(containerd) {
                Ok(config) => ground.config = Some(config),
                Err(error) => {
                    let why = remap_engine::phase::report(&error);
                    let file = containerd.config.as_ref();
                    let file = file.map(|file| format!("--config {} ", file.display()));
                    let file = file.unwrap_or_default();
                    let remedy = format!("{} {file}config dump", containerd.program.display());
                    checks.push(Check::failure("configuration", why).remedy(remedy));
                }
            }
        }
        (ground, checks)
    }

    /// containerd's `PATH`.
    pub(super) fn path(&self) -> Option<&OsString> {
        self.containerd.as_ref()?.path.as_ref()
    }

    /// The program `name` that containerd's children take.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        lookup::first(self.path()?, name)
    }

    /// What is said of a program that they do not find; `None` if their `PATH` is not known.
    pub(super) fn missing(&self, name: &'static str, what: &str) -> Option<Check> {
        let path = self.path()?;
        let own = std::env::var_os("PATH").unwrap_or_default();
        let elsewhere = lookup::first(&own, name);
        let shown = path.to_string_lossy();
        let check = Check::failure(
            name,
            match &elsewhere {
                None => format!("there is no {name}, {what}"),
                Some(place) => format!(
                    "{name} is {}, which is not in containerd's PATH ({shown}), {what}",
                    place.display()
                ),
            },
        );
        Some(match elsewhere {
            None => check.remedy(install(name)),
            Some(place) => check.remedy(format!("ln -s {} /usr/local/bin/", place.display())),
        })
    }

    /// The command that restarts containerd.
    pub(super) fn restart(&self) -> String {
        let unit = self.containerd.as_ref();
        let unit = unit.and_then(|containerd| service::unit_of(containerd.pid));
        format!(
            "systemctl restart {}",
            unit.as_deref().unwrap_or("containerd")
        )
    }
}

/// The command that installs a package of this name.
pub(super) fn install(package: &str) -> String {
    let tools = [
        ("/usr/bin/dnf", "dnf install -y"),
        ("/usr/bin/zypper", "zypper install -y"),
    ];
    let tool = tools.iter().find(|(tool, _)| Path::new(tool).exists());
    format!(
        "{} {package}",
        tool.map_or("apt-get install -y", |(_, command)| command)
    )
}

fn root() -> Check {
    if rustix::process::geteuid().is_root() {
        Check::ok("root", "it is root who asks")
    } else {
        let what = "not root, so that containerd cannot be asked; most of the rest cannot be told";
        Check::unknown("root", what).remedy("sudo remapctl doctor")
    }
}

fn find(wanted: Option<u32>) -> Result<Containerd, Check> {
    const NAME: &str = "containerd";
    containerd::choose(wanted).map_err(|error| {
        let what = error.to_string();
        match error {
            Choice::None if !rustix::process::geteuid().is_root() => {
                Check::unknown(NAME, "no containerd can be seen without root")
            }
            Choice::None => Check::failure(NAME, what).remedy("systemctl start containerd"),
            Choice::Several(pids) => {
                let first = pids.first().copied().unwrap_or_default();
                let remedy = format!("remapctl doctor --containerd {first}");
                Check::unknown(NAME, what).remedy(remedy)
            }
            Choice::Other(_) => Check::failure(NAME, what),
            Choice::Proc(_) => Check::unknown(NAME, what),
        }
    })
}

fn running(containerd: &Containerd) -> Check {
    let what = format!(
        "process {}, {}",
        containerd.pid,
        containerd.program.display()
    );
    if containerd.replaced {
        let what = format!("{what}, which was replaced since it began: restart it");
        return Check::warning("containerd", what).remedy("systemctl restart containerd");
    }
    Check::ok("containerd", what)
}
