//! Containers that move.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{counted, expect_counting, remapctl, start_counting, told};
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, Workload};

/// A semaphore and a file of the root file system, to the other host and back, in the form that the
/// options `form` ask for.
pub(super) fn there_and_back(context: &Context, form: &[&str]) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let a_shm = Shm::mount(context.a(), ID)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    let workload = Workload::start(context, &a_shm, "sem-creator-first")?;
    a.exec(ID, &["sh", "-c", "echo mark >/root/mark"])?.ok()?;
    let before = workload.probe(&a)?;

    for (number, ((from, from_shm), (to, to_shm))) in
        [((&a, &a_shm), (&b, &b_shm)), ((&b, &b_shm), (&a, &a_shm))]
            .into_iter()
            .enumerate()
    {
        let path = format!("{dir}/checkpoint-{number}");
        let args = [&["checkpoint", "--exit", ID, &path][..], form].concat();
        let said = told(from.host(), &args)?;
        ensure!(said["exited"] == true, "{said}");
        from.remove(ID)?;
        from_shm.clear()?;
        let is_directory = form.contains(&"dir");
        let link = context.link();
        match is_directory {
            true => link.copy_directory(from.host(), &path, to.host(), &path),
            false => link.copy_file(from.host(), &path, to.host(), &path),
        }?;
        remapctl(to.host(), &["verify", &path])?.ok()?;
        let said = told(to.host(), &["restore", &path])?;
        ensure!(said["container"] == ID, "{said}");
        workload.expect_same(to, &before)?;
        let mark = to.exec(ID, &["cat", "/root/mark"])?.ok()?;
        ensure!(
            mark.text() == "mark",
            "the root file system is lost: {}",
            mark.text()
        );
        to_shm.expect_no_leftovers()?;
    }
    let left = context.a().shell(&format!("ls -A {dir}"))?.ok()?;
    ensure!(
        left.text().trim() == "checkpoint-0\ncheckpoint-1",
        "something is left:\n{}",
        left.text()
    );
    a.remove(ID)
}

/// A checkpoint that was converted to every form, one after the other, restores; what is in it is told
/// alike.
pub(super) fn converted(context: &Context) -> Result<()> {
    let (host, ctr) = (context.a(), context.ctr());
    let dir = context.dir()?;
    start_counting(context, "original")?;
    let first = format!("{dir}/oci");
    told(host, &["checkpoint", "--exit", "original", &first])?;
    let count = counted_in(&told(host, &["inspect", &first])?)?;
    ctr.remove("original")?;
    let mut path = first;
    for (form, more) in [
        ("podman", "--zstd"),
        ("dir", "--json"),
        ("registry", "--zstd=2"),
        ("oci", "--json"),
    ] {
        let next = format!("{dir}/{form}-again");
        let args = ["convert", "--form", form, more, &path, &next];
        remapctl(host, &args)?.ok()?;
        host.shell(&format!("rm -r {path}"))?.ok()?;
        let said = told(host, &["inspect", &next])?;
        ensure!(
            counted_in(&said)? == count,
            "other files are in {form}: {said}"
        );
        path = next;
    }
    remapctl(host, &["verify", &path])?.ok()?;
    remapctl(host, &["restore", &path])?.ok()?;
    expect_counting(&ctr, "original", counted(&ctr, "original")?)?;
    ctr.remove("original")
}

/// The names and digests of the files that a checkpoint has by what `inspect` says, without the list of
/// them.
fn counted_in(said: &Value) -> Result<Vec<(String, String)>> {
    let files = said["files"].as_array().context("no files")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut files: Vec<_> = files
        .iter()
        .map(|file| (text(&file["name"]), text(&file["sha256"])))
        .filter(|(name, _)| name != "remap-archive.json")
        .collect();
    files.sort();
    ensure!(files.len() > 5, "so few files: {files:?}");
    Ok(files)
}

/// A container that runs on, and a copy of it beside it, with a cgroup of its own.
pub(super) fn clone(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let path = format!("{dir}/checkpoint");
    start_counting(context, "original")?;
    let said = told(
        context.a(),
        &["checkpoint", "--form", "dir", "original", &path],
    )?;
    ensure!(said["exited"] == false, "{said}");
    let count = counted(&ctr, "original")?;
    for id in ["one", "other"] {
        remapctl(context.a(), &["restore", "--id", id, &path])?.ok()?;
    }
    let cgroup = |id: &str| -> Result<String> {
        let task = ctr.task(id)?.context("it has no task")?;
        let cgroups = context
            .a()
            .shell(&format!("cat /proc/{}/cgroup", task.pid))?
            .ok()?;
        Ok(cgroups.text().into_owned())
    };
    for id in ["original", "one", "other"] {
        expect_counting(&ctr, id, count)?;
    }
    let cgroups = [cgroup("original")?, cgroup("one")?, cgroup("other")?];
    ensure!(
        cgroups[0] != cgroups[1] && cgroups[1] != cgroups[2],
        "they share a cgroup: {cgroups:?}"
    );
    // One that is restored is a container as any other.
    let again = format!("{dir}/again");
    told(
        context.a(),
        &["checkpoint", "--exit", "--form", "dir", "one", &again],
    )?;
    ctr.remove("one")?;
    told(context.a(), &["restore", &again])?;
    expect_counting(&ctr, "one", counted(&ctr, "one")?)?;
    for id in ["original", "one", "other"] {
        ctr.remove(id)?;
    }
    Ok(())
}
