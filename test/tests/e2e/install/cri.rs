//! A runtime handler in containerd's configuration. (That pods have it: `cri::installed`.)

use anyhow::{Result, ensure};
use remap_test::Host;

use super::HOME;
use crate::context::Context;
use crate::fresh::Fresh;

const CONFIG: &str = "/etc/containerd/config.toml";

/// A runtime handler, in configurations of all kinds; and taken back to the byte, also if they were
/// edited since.
pub(super) fn cri(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    let debian = String::from_utf8(host.read_file(CONFIG)?)?;
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    let runc =
        format!("[{cri}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n");
    let configs = [
        debian.clone(),
        format!("version = 2\n[{cri}]\nrestrict_oom_score_adj = true"),
        format!(
            "version = 2\n{runc}[{cri}.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"
        ),
    ];
    for config in &configs {
        host.write_file(CONFIG, config)?;
        let handlers = handlers_of(host)?;
        fresh.expect("install --as cri --yes", 0, &["runtimes.remap]", HOME])?;
        fresh.expect("install --as cri --yes", 0, &["as it should be"])?;
        let with = handlers_of(host)?;
        ensure!(with.contains("runtimes.remap]"), "{with}");
        for line in handlers.lines() {
            ensure!(
                with.lines().any(|other| other == line),
                "{line} is gone:\n{with}"
            );
        }
        if config.contains("SystemdCgroup") {
            let dump = host.shell("containerd config dump | grep -c 'SystemdCgroup = true'")?;
            ensure!(
                dump.text() == "2",
                "the handler has other control groups: {dump:?}"
            );
        }
        fresh.expect("uninstall --yes", 0, &["it is uninstalled"])?;
        let after = String::from_utf8(host.read_file(CONFIG)?)?;
        ensure!(&after == config, "{after:?} is not {config:?}");
    }
    // containerd takes it, and what was edited since stays.
    host.write_file(CONFIG, &debian)?;
    fresh.expect(
        "install --as cri --handler other --yes",
        0,
        &["runtimes.other]"],
    )?;
    host.shell(&format!("echo '# mine' >>{CONFIG}"))?;
    fresh.restart_containerd()?;
    fresh.expect("doctor", 0, &["the handler other has", "this project's"])?;
    fresh.expect("uninstall --yes", 0, &[])?;
    let after = String::from_utf8(host.read_file(CONFIG)?)?;
    ensure!(after == debian.clone() + "# mine\n", "{after}");
    // Without a file, or with others that it imports.
    host.shell(&format!("rm {CONFIG}"))?;
    fresh.expect("install --as cri --yes", 0, &[])?;
    ensure!(handlers_of(host)?.contains("runtimes.remap]"), "no handler");
    fresh.expect("uninstall --yes", 0, &[])?;
    host.shell(&format!("test ! -e {CONFIG}"))?;
    host.write_file(
        CONFIG,
        "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n",
    )?;
    host.shell("mkdir -p /etc/containerd/conf.d")?;
    fresh.expect("install --as cri --yes", 0, &[])?;
    ensure!(handlers_of(host)?.contains("runtimes.remap]"), "no handler");
    fresh.expect("uninstall --yes", 0, &[])?;
    host.shell("rmdir /etc/containerd/conf.d")?;

    // What is in the way.
    for (config, part) in [
        (
            format!("version = 2\n{}", runc.replace("runc]", "remap]")),
            "a runtime handler remap already",
        ),
        (
            "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n".to_owned(),
            "switched off",
        ),
        ("version = 2\n[oops\n".to_owned(), "config"),
    ] {
        host.write_file(CONFIG, &config)?;
        fresh.expect("install --as cri --yes", 1, &[part, "nothing was changed"])?;
        ensure!(
            host.read_file(CONFIG)? == config.as_bytes(),
            "{config} was changed"
        );
    }
    // A form to which nothing can be appended is seen only by containerd, and all is as before.
    let inline = format!(
        "version = 2\n[{cri}.containerd]\nruntimes = {{ runc = {{ runtime_type = \"io.containerd.runc.v2\" }} }}\n"
    );
    host.write_file(CONFIG, &inline)?;
    fresh.expect("install --as cri --yes", 3, &["nothing was changed"])?;
    ensure!(
        host.read_file(CONFIG)? == inline.as_bytes(),
        "it was changed"
    );
    host.shell(&format!(
        "test ! -e {HOME} && test ! -e /var/lib/containerd-shim-remap/installed.json"
    ))?;
    fresh.host.stop()
}

/// The runtime handlers that containerd sees.
fn handlers_of(host: &Host) -> Result<String> {
    let dump = host.shell(
        "containerd config dump 2>/dev/null | grep -E 'runtimes\\.[a-z]+\\]' | tr -d ' ' || true",
    )?;
    Ok(dump.text().into_owned())
}
