//! A runtime handler in containerd's configuration.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::block;
use super::change::Change;
use crate::host::config::{self, Config};
use crate::host::containerd::Containerd;

/// The file that is made where the configuration has others read.
const FILE: &str = "remap.toml";

/// How the handler `handler` for `shim` is added. To containerd's own file as a rule: where that
/// imports others, containerd 1 takes each plugin's part from one file only, so that an imported one
/// would take the place of all that is configured of it (`mergeConfig`). containerd 2 puts them together.
///
/// # Errors
/// All that is in the way.
pub(super) fn change(
    containerd: &Containerd,
    config: &Config,
    shim: &Path,
    handler: &str,
) -> Result<Change, Vec<String>> {
    let mut reasons = Vec::new();
    if !config.has_cri() {
        reasons.push("containerd's CRI is switched off (disabled_plugins in its configuration), so nobody can use a handler".to_owned());
    }
    let file = containerd
        .config
        .clone()
        .unwrap_or_else(|| config::FILE.into());
    let own = own(&file);
    let version = match &own {
        Err(reason) => {
            reasons.push(reason.clone());
            0
        }
        Ok(None) => config.version(),
        Ok(Some(own)) => own.get("version").and_then(Value::as_integer).unwrap_or(1),
    };
    if own.is_ok() && !matches!(version, 2 | 3) {
        reasons.push(format!(
            "{} has version {version}, and 2 or 3 is needed: `containerd config migrate` prints it as such",
            file.display()
        ));
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let own = own.ok().flatten();
    let mut runtimes = Table::new();
    if config.version() < 3 {
        // It has the handler runc by itself only as long as no other is named.
        runtimes = config.runtimes();
        for name in own.as_ref().map(named).unwrap_or_default() {
            runtimes.remove(&name);
        }
    }
    runtimes.insert(handler.to_owned(), ours(shim, config.runc_options()).into());
    let part = part(version, runtimes).map_err(|error| vec![error.to_string()])?;
    let imported = own.as_ref().and_then(|own| imported(own, config));
    let head = format!("version = {version}\n");
    Ok(match imported {
        Some(path) => Change::Append {
            path,
            text: head + &part,
        },
        None if own.is_none() => Change::Append {
            path: file,
            text: head + &part,
        },
        None => Change::Append {
            path: file,
            text: part,
        },
    })
}

/// What stands in containerd's own file, but for what this program has added; `None` if there is none.
fn own(file: &Path) -> Result<Option<Table>, String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        Ok(text) => match toml::from_str(&block::without(&text)) {
            Ok(own) => Ok(Some(own)),
            Err(error) => Err(format!("cannot understand {}: {error}", file.display())),
        },
    }
}

/// A file that the configuration imports if it is there, as in `imports = ["/etc/containerd/conf.d/*.toml"]`.
fn imported(own: &Table, config: &Config) -> Option<PathBuf> {
    if config.version() < 3 {
        return None;
    }
    let imports = own.get("imports")?.as_array()?;
    let mut all = imports.iter().filter_map(Value::as_str);
    let dir = all.find_map(|glob| glob.strip_suffix("/*.toml"))?;
    Path::new(dir)
        .is_absolute()
        .then(|| Path::new(dir).join(FILE))
}

/// The plugin of Kubernetes' interface in a file of this version.
fn plugin(version: i64) -> &'static str {
    if version >= 3 {
        "io.containerd.cri.v1.runtime"
    } else {
        "io.containerd.grpc.v1.cri"
    }
}

/// The handlers that stand in containerd's own file.
fn named(own: &Table) -> Vec<String> {
    let runtimes = || {
        let cri = own.get("plugins")?.get(plugin(2))?;
        cri.get("containerd")?.get("runtimes")?.as_table()
    };
    let names = runtimes().into_iter().flatten();
    names.map(|(name, _)| name.clone()).collect()
}

fn ours(shim: &Path, options: Table) -> Table {
    let mut handler = Table::new();
    let shim = shim.to_string_lossy().into_owned();
    handler.insert("runtime_type".to_owned(), "io.containerd.runc.v2".into());
    handler.insert("runtime_path".to_owned(), shim.into());
    if !options.is_empty() {
        handler.insert("options".to_owned(), options.into());
    }
    handler
}

fn part(version: i64, runtimes: Table) -> Result<String, toml::ser::Error> {
    let names = ["runtimes", "containerd", plugin(version), "plugins"];
    let wrap = |inner: Table, name: &str| {
        let mut outer = Table::new();
        outer.insert(name.to_owned(), inner.into());
        outer
    };
    toml::to_string(&names.into_iter().fold(runtimes, wrap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_have_their_part_with_the_options_of_runc() {
        let options: Table = toml::from_str("SystemdCgroup = true").unwrap();
        let mut runtimes = Table::new();
        let handler = ours(Path::new("/x/\"shim"), options);
        runtimes.insert("remap".to_owned(), handler.clone().into());
        let old = part(2, runtimes.clone()).unwrap();
        // No table is named that the file may have.
        let tables: Vec<&str> = old.lines().filter(|line| line.starts_with('[')).collect();
        assert_eq!(
            tables,
            [
                "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.remap]",
                "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.remap.options]",
            ]
        );
        let read: Table = toml::from_str(&old).unwrap();
        let cri = &read["plugins"]["io.containerd.grpc.v1.cri"]["containerd"];
        assert_eq!(cri["runtimes"]["remap"].as_table(), Some(&handler));
        assert_eq!(named(&read), ["remap"]);
        let new = part(3, runtimes).unwrap();
        assert!(
            new.contains("[plugins.\"io.containerd.cri.v1.runtime\""),
            "{new}"
        );
    }
}
