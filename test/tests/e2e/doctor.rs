//! `remapctl doctor`: a host that is able, and hosts that are not.

use anyhow::{Context as _, Result, anyhow, ensure};
use remap_test::{Flavour, Runtime, schema};
use serde_json::Value;

use crate::context::Context;
use crate::fresh::{BUILD, Fresh, PATH, says};
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("doctor::installed", installed).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("doctor::able", able).runtimes(&[Runtime::Remap]),
    Scenario::new("doctor::unable", unable).runtimes(&[Runtime::Remap]),
    Scenario::new("doctor::in_the_way", in_the_way).runtimes(&[Runtime::Remap]),
    Scenario::new("doctor::no_containerd", no_containerd).runtimes(&[Runtime::Remap]),
];

/// The document, held against the schema that the same program prints.
fn json(fresh: &Fresh, code: i32) -> Result<Value> {
    let printed = fresh.remapctl("doctor --schema").check()?;
    let schema: Value = serde_json::from_slice(&printed.stdout)?;
    let output = fresh.expect("doctor --json", code, &[])?;
    let document = serde_json::from_slice(&output.stdout)?;
    schema::check_own(&schema, &document).map_err(|wrong| anyhow!(wrong))?;
    Ok(document)
}

/// The check `name` in the document.
fn check<'d>(document: &'d Value, name: &str) -> Result<&'d Value> {
    let checks = document["checks"].as_array().context("no checks")?;
    let found = checks.iter().find(|check| check["name"] == name);
    found.with_context(|| format!("no {name} in {document}"))
}

fn expect(document: &Value, name: &str, outcome: &str, parts: &[&str]) -> Result<()> {
    let check = check(document, name)?;
    ensure!(check["outcome"] == outcome, "{check}");
    let text = check.to_string();
    for part in parts {
        ensure!(text.contains(part), "no {part:?} in {check}");
    }
    Ok(())
}

/// Where the shim is installed it is found, as containerd finds it.
fn installed(context: &Context) -> Result<()> {
    let output = context.a().command("remapctl").arg("doctor").run()?;
    let place = match context.runtime() {
        Runtime::DropIn => "/opt/remap/drop-in/containerd-shim-runc-v2, this project's",
        _ => "/usr/bin/containerd-shim-runc-v2, another project's",
    };
    says(
        &output,
        0,
        &[
            place,
            "containerd finds this project's shim",
            "this host is able",
        ],
    )?;
    ensure!(
        !output.text().contains('\x1b'),
        "colours in a pipe: {output:?}"
    );
    Ok(())
}

/// A fresh host is able, and says that nothing is installed yet, and what of its CRIU is to be known.
fn able(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let document = json(&fresh, 0)?;
    for name in [
        "root",
        "containerd",
        "version",
        "configuration",
        "runc",
        "crun",
        "criu",
        "criu-check",
        "criu-conf",
        "leftovers",
    ] {
        expect(&document, name, "ok", &[])?;
    }
    expect(&document, "installed", "warning", &["remapctl install"])?;
    let (outcome, version) = match context.flavour() {
        Flavour::Trixie => ("warning", "version 4.1"),
        _ => ("ok", "version 4.2"),
    };
    expect(&document, "criu", "ok", &[version])?;
    // Seen on kernels from 6.16 on, which the tests of network sockets meet as well.
    let kernel = fresh.host.shell("uname -r | cut -d. -f1,2 | tr . ' '")?;
    let kernel: Vec<u32> = kernel
        .text()
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let is_new = kernel >= vec![6, 16];
    expect(
        &document,
        "sockets",
        if is_new { outcome } else { "ok" },
        &[],
    )?;
    // Not root: nothing is known.
    let nobody = fresh.host.command("setpriv");
    let nobody = nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let output = nobody
        .arg(format!("{BUILD}/remapctl"))
        .arg("doctor")
        .run()?;
    says(
        &output,
        3,
        &["unknown root", "sudo remapctl doctor", "cannot be told"],
    )?;
    fresh.host.stop()
}

/// Without CRIU, with an old one, with one that containerd does not find, with a runc without it.
fn unable(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    let criu = host.shell("command -v criu")?.text().into_owned();
    host.shell(&format!("mkdir /srv/aside && mv {criu} /srv/aside/criu"))?;
    let document = json(&fresh, 1)?;
    ensure!(document["verdict"] == "failure", "{document}");
    expect(
        &document,
        "criu",
        "failure",
        &["there is no criu", "install -y criu"],
    )?;
    fresh.expect(
        "doctor",
        1,
        &["FAILURE criu", "this host is NOT ABLE: 1 failure"],
    )?;

    let command = fresh
        .remapctl("doctor")
        .env("PATH", format!("{PATH}:/srv/aside"));
    let parts = [
        "/srv/aside/criu, which is not in containerd's PATH",
        "ln -s /srv/aside/criu",
    ];
    says(&command.run()?, 1, &parts)?;

    let script = |text: &str| {
        host.write_file("/usr/local/sbin/criu", format!("#!/bin/sh\n{text}\n"))?;
        host.shell("chmod +x /usr/local/sbin/criu")
    };
    script("echo Version: 3.15")?;
    expect(
        &json(&fresh, 1)?,
        "criu",
        "failure",
        &["version 3.15", "3.16 is needed"],
    )?;
    script("[ $1 = check ] && echo 'Error (x): no tun' && exit 1; echo Version: 4.2")?;
    expect(&json(&fresh, 1)?, "criu-check", "failure", &["no tun"])?;
    script("echo Version: 9.1")?;
    expect(
        &json(&fresh, 0)?,
        "criu",
        "warning",
        &["this project knows"],
    )?;
    host.shell(&format!(
        "rm /usr/local/sbin/criu && mv /srv/aside/criu {criu}"
    ))?;

    let features =
        r#"{\"annotations\":{\"org.opencontainers.runc.checkpoint.enabled\":\"false\"}}"#;
    let text =
        format!("#!/bin/sh\n[ $1 = features ] && echo \"{features}\" || echo runc version 1.3.0\n");
    host.write_file("/usr/local/sbin/runc", text)?;
    host.shell("chmod +x /usr/local/sbin/runc")?;
    expect(&json(&fresh, 1)?, "runc", "failure", &["without CRIU"])?;
    host.shell("rm /usr/local/sbin/runc")?;
    json(&fresh, 0)?;
    fresh.host.stop()
}

/// Configuration of CRIU's that undoes what is asked for, an odd one of containerd's, a shim that is no
/// program, leftovers.
fn in_the_way(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    host.write_file("/etc/criu/runc.conf", "tcp-established\nleave-running\n")?;
    let used = "/tmp/ctrd-checkpoint1";
    host.shell(
        "mkdir /tmp/ctrd-checkpoint1 /tmp/ctrd-checkpoint2 && echo x >/tmp/ctrd-checkpoint2/pages-1.img && \
         touch -d '2 hours ago' /tmp/ctrd-checkpoint2/pages-1.img /tmp/ctrd-checkpoint1 /tmp/ctrd-checkpoint2",
    )?;
    let user = host.command("sleep").arg("600").current_dir(used).spawn()?;
    let document = json(&fresh, 0)?;
    expect(
        &document,
        "criu-conf",
        "warning",
        &["/etc/criu/runc.conf", "leave-running"],
    )?;
    expect(
        &document,
        "leftovers",
        "warning",
        &["1 directory", "remapctl prune --yes"],
    )?;
    user.kill()?;
    host.write_file("/etc/criu/runc.conf", "ghost-limit much\n")?;
    expect(
        &json(&fresh, 1)?,
        "criu-conf",
        "failure",
        &["ghost-limit", "is no size"],
    )?;
    host.shell("rm -r /etc/criu")?;

    host.write_file("/etc/containerd/config.toml", "version = 2\n[plugins\n")?;
    expect(
        &json(&fresh, 1)?,
        "configuration",
        "failure",
        &["config dump"],
    )?;
    host.write_file(
        "/etc/containerd/config.toml",
        "version = 2\nstate = \"/run/other\"\n",
    )?;
    let document = json(&fresh, 3)?;
    expect(
        &document,
        "configuration",
        "warning",
        &["--state /run/other"],
    )?;
    expect(&document, "room-state", "unknown", &["/run/other"])?;
    host.shell("rm /etc/containerd/config.toml")?;

    host.write_file("/usr/local/sbin/containerd-shim-runc-v2", "no program")?;
    host.shell("chmod +x /usr/local/sbin/containerd-shim-runc-v2")?;
    expect(
        &json(&fresh, 1)?,
        "shim",
        "failure",
        &["/usr/local/sbin/containerd-shim-runc-v2"],
    )?;
    fresh.host.stop()
}

/// None runs, several run, and the one that is named is none.
fn no_containerd(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    fresh.expect("doctor --containerd 1", 1, &["process 1 is no containerd"])?;
    let second = fresh.host.command("sh");
    let line = "exec containerd --root /srv/root --state /run/second --address /run/second.sock";
    let second = second.args(["-c", line]).spawn()?;
    let pids = || Ok(fresh.host.shell("pidof containerd | wc -w")?.text() == "2");
    ensure!(
        remap_test::wait::until(crate::workload::LIMIT, pids)?,
        "no second containerd"
    );
    fresh.expect(
        "doctor",
        3,
        &["several containerds run", "remapctl doctor --containerd"],
    )?;
    let first = fresh.host.shell("cat /run/containerd.pid")?;
    let args = format!("doctor --containerd {}", first.text());
    fresh.expect(&args, 0, &["this host is able"])?;
    second.kill()?;
    fresh.stop_containerd()?;
    let parts = ["containerd does not run", "systemctl start containerd"];
    fresh.expect("doctor", 1, &parts)?;
    fresh.host.stop()
}
