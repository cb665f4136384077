//! A checkpoint that ends the container: nothing may run between the dump and the
//! end. Only under the stock runtime's name, since containerd 1.7's `ctr` keeps
//! these options from all others.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Host, Runtime};

use crate::context::Context;
use crate::exported;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("exit::counter", counter).runtimes(&[Runtime::DropIn]),
    Scenario::new("exit::semaphore", semaphore).runtimes(&[Runtime::DropIn]),
    Scenario::new("exit::moves", moves).runtimes(&[Runtime::DropIn]),
];

/// The file as it was carried is the one that the container left behind.
fn counter(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let images = format!("{}/images", context.dir()?);
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "counter")?;
    let seen = workload.probe(&ctr)?.progress("writer", "count")?;
    ctr.checkpoint_task(ID, &images, &format!("{images}-work"), true)?;
    ctr.wait_for(ID, &Status::Stopped, LIMIT)?;

    let count_at_end =
        || -> Result<u64> { first_word(&context.a().read_file(&shm.file("counter"))?) };
    let last = count_at_end()?;
    let carried = first_word(&carried_file(context.a(), &images, "counter")?)?;
    ensure!(
        carried == last && last > seen,
        "the probe saw {seen}, {carried} was carried, and {last} was the end"
    );
    let mode = mode_of(context.a(), &images)?;
    ensure!(mode == 0o700, "{images} has mode {mode:o}");
    expect_private_files(context.a(), &images)?;
    expect_versions(context, &images)?;

    ensure!(ctr.resume(ID).is_err(), "what has ended was resumed");
    ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
    ensure!(count_at_end()? == last, "it counts on");
    let code = ctr.delete_task(ID)?;
    ensure!(code == 137, "the exit status is {code}");
    ctr.delete_container(ID)
}

/// The manifest says what made the checkpoint.
fn expect_versions(context: &Context, images: &str) -> Result<()> {
    let manifest = context
        .a()
        .read_file(&format!("{images}/remap-manifest.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let expected = context.flavour().versions();
    for (name, version) in [
        ("criu", expected.criu),
        ("runtime", expected.runc),
        ("kernel", ""),
    ] {
        let found = manifest["versions"][name].as_str();
        let found = found.with_context(|| format!("no version of {name} in {manifest}"))?;
        ensure!(
            found.contains(version),
            "{name} is {found:?}, not {version}"
        );
    }
    Ok(())
}

/// CRIU leaves its links where the tasks end with the dump; we do not. A directory
/// with files of the user's stays the user's.
fn semaphore(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let host = context.a();
    let images = format!("{}/images", context.dir()?);
    let shm = Shm::mount(host, ID)?;
    Workload::start(context, &shm, "sem-creator-first")?;
    let names = shm.names()?;
    host.shell(&format!(
        "mkdir -m 755 {images} && echo mine >{images}/notes && chmod 600 {images}/notes"
    ))?;
    ctr.checkpoint_task(ID, &images, &format!("{images}-work"), true)?;
    ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
    shm.expect_names(&names)?;
    expect_private_files(host, &images)?;
    let mode = mode_of(host, &images)?;
    ensure!(mode == 0o755, "{images} has mode {mode:o} now");
    ctr.remove(ID)
}

/// Without a difference between what the process knows and what the file says. No
/// command of `ctr` restores from a directory, so its files take the place of those
/// in an image.
fn moves(context: &Context) -> Result<()> {
    const IMAGE: &str = "remap.test/exit:1";
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let [images, early, late] =
        ["images", "early.tar", "late.tar"].map(|name| format!("{dir}/{name}"));
    let a_shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &a_shm, "counter")?;
    let before = workload.probe(&a)?;
    a.checkpoint(ID, IMAGE)?;
    a.export_checkpoint(IMAGE, &early)?;
    a.remove_image(IMAGE)?;
    a.checkpoint_task(ID, &images, &format!("{images}-work"), true)?;
    a.wait_for(ID, &Status::Stopped, LIMIT)?;
    let last = first_word(&context.a().read_file(&a_shm.file("counter"))?)?;
    a.remove(ID)?;

    exported::replace_images(context.a(), &early, &images, &late)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    context
        .link()
        .copy_file(context.a(), &late, context.b(), &late)?;
    b.import_checkpoint(&late)?;
    b.restore(ID, IMAGE)?;
    let now = workload.expect_same(&b, &before)?;
    let count = now.progress("writer", "count")?;
    ensure!(
        now.check("writer", "jumps") == 0 && count >= last,
        "it was at {last}, and now {now:?}"
    );
    b_shm.expect_no_leftovers()?;
    b.remove(ID)?;
    b.remove_image(IMAGE)
}

fn first_word(bytes: &[u8]) -> Result<u64> {
    let word = bytes.first_chunk().context("a short counter")?;
    Ok(u64::from_le_bytes(*word))
}

/// The contents of the file `name` of the one mount whose files are in `images`.
fn carried_file(host: &Host, images: &str, name: &str) -> Result<Vec<u8>> {
    let archive = host.path(images).join("remap-mount-0.tar");
    let file = File::open(&archive).with_context(|| format!("no {}", archive.display()))?;
    for entry in tar::Archive::new(file).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with(name) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    anyhow::bail!("no {name} in {}", archive.display())
}

/// Images hold the memory of processes: nobody else may read them.
fn expect_private_files(host: &Host, images: &str) -> Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir(host.path(images))? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o7777;
        if mode != 0o600 {
            open.push(format!("{:?} has mode {mode:o}", entry.file_name()));
        }
    }
    ensure!(open.is_empty(), "{}", open.join(", "));
    Ok(())
}

fn mode_of(host: &Host, path: &str) -> Result<u32> {
    Ok(fs::metadata(host.path(path))?.permissions().mode() & 0o7777)
}
