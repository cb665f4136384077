//! `remapctl prune`: what nobody needs goes, and nothing else.

use anyhow::{Context as _, Result, anyhow, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Host, Runtime, schema};
use serde_json::Value;

use crate::context::Context;
use crate::fresh::says;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("prune::temporary", temporary).runtimes(&[Runtime::Remap]),
    Scenario::new("prune::checkpoints", checkpoints).runtimes(&[Runtime::DropIn]),
];

fn prune(host: &Host, args: &str, code: i32, parts: &[&str]) -> Result<Vec<u8>> {
    let command = host.command("remapctl").arg("prune");
    let output = command
        .args(args.split(' ').filter(|arg| !arg.is_empty()))
        .run()?;
    says(&output, code, parts).with_context(|| format!("prune {args}"))?;
    Ok(output.stdout)
}

fn json(host: &Host, args: &str, code: i32) -> Result<Value> {
    let schema = prune(host, "--schema", 0, &[])?;
    let schema: Value = serde_json::from_slice(&schema)?;
    let document = serde_json::from_slice(&prune(host, &format!("--json {args}"), code, &[])?)?;
    schema::check_own(&schema, &document).map_err(|wrong| anyhow!(wrong))?;
    Ok(document)
}

/// The fate of what is at `path`.
fn fate(document: &Value, path: &str) -> Result<String> {
    let items = document["items"].as_array().context("no items")?;
    let item = items.iter().find(|item| item["path"] == path);
    let item = item.with_context(|| format!("no {path} in {document}"))?;
    Ok(item["fate"].as_str().unwrap_or_default().to_owned())
}

/// Those of containerd and of CRIU go when nobody uses them; one that cannot be removed is told.
fn temporary(context: &Context) -> Result<()> {
    let host = context.a();
    host.shell(
        "cd /tmp; mkdir ctrd-checkpoint1 ctrd-checkpoint2 ctrd-checkpoint3 ctrd-checkpoint4 .criu.mntns.abcdef \
            .criu.mntns.ghijkl ctrd-checkpoint-mine; echo pages >ctrd-checkpoint1/pages-1.img; \
         touch .criu.mntns.ghijkl/file; mkdir ctrd-checkpoint4/mount; \
         mount -t tmpfs none ctrd-checkpoint4/mount; chown 65534 ctrd-checkpoint3; \
         find . -exec touch -h -d '2 hours ago' {} +",
    )?;
    let user = host
        .command("sleep")
        .arg("600")
        .current_dir("/tmp/ctrd-checkpoint2");
    let user = user.spawn()?;
    let document = json(host, "", 0)?;
    let at = |name: &str| format!("/tmp/{name}");
    for (name, expected) in [
        ("ctrd-checkpoint1", "goes"),
        ("ctrd-checkpoint2", "stays"),
        ("ctrd-checkpoint3", "stays"),
        (".criu.mntns.abcdef", "goes"),
        (".criu.mntns.ghijkl", "stays"),
    ] {
        let fate = fate(&document, &at(name))?;
        ensure!(fate == expected, "{name} {fate}, not {expected}");
    }
    ensure!(
        fate(&document, "/tmp/ctrd-checkpoint-mine").is_err(),
        "it is nobody's"
    );
    ensure!(document["dry_run"] == true, "{document}");
    host.shell("test -e /tmp/ctrd-checkpoint1/pages-1.img")?;
    prune(
        host,
        "--unused-for 3h --yes",
        0,
        &["stays", "it was written to"],
    )?;
    host.shell("test -e /tmp/ctrd-checkpoint1/pages-1.img")?;

    // Something is mounted in one of them.
    prune(
        host,
        "--yes",
        1,
        &[
            "FAILED",
            "/tmp/ctrd-checkpoint4",
            "removed",
            "/tmp/ctrd-checkpoint1",
        ],
    )?;
    host.shell("umount /tmp/ctrd-checkpoint4/mount; find /tmp/ctrd-checkpoint4 -exec touch -d '2 hours ago' {} +")?;
    user.kill()?;
    prune(host, "--yes --unused-for 1h", 0, &["removed"])?;
    let left = host.shell("ls -A /tmp | grep -E 'ctrd|criu' | sort | xargs")?;
    let expected = ".criu.mntns.ghijkl ctrd-checkpoint-mine ctrd-checkpoint3";
    ensure!(left.text() == expected, "{left:?}");
    host.shell("cd /tmp; rm -r .criu.mntns.ghijkl ctrd-checkpoint-mine ctrd-checkpoint3")?;
    let kept = "/var/log/containerd-shim-remap/scenario";
    host.shell(&format!(
        "mkdir -p {kept}; cd {kept}; touch new.log; touch -d '40 days ago' old.log"
    ))?;
    prune(host, "--yes", 0, &["removed", "old.log"])?;
    host.shell(&format!(
        "test -e {kept}/new.log && test ! -e {kept}/old.log && rm -r {kept}"
    ))?;
    Ok(())
}

/// Old checkpoints of a container that was saved several times; the newest can still be restored from.
fn checkpoints(context: &Context) -> Result<()> {
    let (ctr, host, dir) = (context.ctr(), context.a(), context.dir()?);
    ctr.run(context.runtime(), BUSYBOX_IMAGE, "saved")
        .shell("while :; do sleep 1; done")
        .start()?;
    for name in ["one", "two", "three"] {
        ctr.checkpoint_task(
            "saved",
            &format!("{dir}/{name}"),
            &format!("{dir}-work"),
            false,
        )?;
        host.shell("sleep 0.1")?;
    }
    ctr.remove("saved")?;
    host.shell(&format!("mkdir {dir}/other; touch {dir}/other/file"))?;
    let list = format!("--checkpoints {dir} --keep 1");
    let document = json(host, &list, 0)?;
    for (name, expected) in [("one", "goes"), ("two", "goes"), ("three", "stays")] {
        let fate = fate(&document, &format!("{dir}/{name}"))?;
        ensure!(fate == expected, "{name} {fate}");
    }
    prune(
        host,
        &format!("--checkpoints {dir} --older-than 1h --yes"),
        0,
        &["it is young"],
    )?;
    // One that is in use.
    let user = host
        .command("sleep")
        .arg("600")
        .current_dir(format!("{dir}/two"))
        .spawn()?;
    prune(host, &format!("{list} --yes"), 0, &["a process uses it"])?;
    user.kill()?;
    prune(host, &format!("{list} --yes"), 0, &["removed"])?;
    let left = host.shell(&format!("ls -A {dir} | xargs"))?;
    ensure!(left.text() == "other three", "{left:?}");
    // What is not there, or is one itself.
    prune(host, "--checkpoints /nowhere --keep 1", 3, &["/nowhere"])?;
    prune(
        host,
        &format!("--checkpoints {dir}/three --keep 1"),
        3,
        &["is a checkpoint itself"],
    )?;
    prune(host, &format!("--checkpoints {dir}"), 2, &[])?;
    host.shell(&format!("rm -r {dir} {dir}-work"))?;
    Ok(())
}
