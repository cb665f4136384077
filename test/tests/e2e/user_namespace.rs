//! A container in a user namespace of its own.

use anyhow::{Result, ensure};
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, Flavour, Runtime};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::stock::{HELPFUL, expect_in_log};
use crate::workload::{ID, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("user_namespace::moves", moves).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("user_namespace::stock", stock).runtimes(&[Runtime::Stock]),
    // containerd 1.7 has no such mounts.
    Scenario::new("user_namespace::mapped_layers", mapped_layers).flavours(&[Flavour::Forky]),
];

const IMAGE: &str = "remap.test/user-namespace:1";

/// The first of its users, on the host.
const ROOT: u32 = 300_000;

fn start(context: &Context, shm: &Shm) -> Result<Workload> {
    let map = format!("0:{ROOT}:65536");
    Workload::start_by(context, shm, "sem-creator-first", |run| {
        run.flag(["--uidmap", &map, "--gidmap", &map])
    })
}

/// From one host to the other and back: what belongs to its users does so there, too, on the tmpfs
/// and on its root.
fn moves(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let archive = format!("{}/checkpoint.tar", context.dir()?);
    let shms = [Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?];
    let [shm, shm_on_b] = &shms;
    let workload = start(context, shm)?;
    a.exec(ID, &["chown", "-h", "7:8", "/workload-state/ready"])?
        .ok()?;
    let before = workload.probe(&a)?;
    let owners = owners(&a)?;
    ensure!(
        owners.contains(" 0:0 /\n") && !owners.contains("65534"),
        "whose are {owners}"
    );
    let names = shm.names()?;
    ensure!(
        names.contains(&format!(" {ROOT}:{ROOT} ")),
        "whose are {names}"
    );
    for (from, to, old, new) in [(&a, &b, shm, shm_on_b), (&b, &a, shm_on_b, shm)] {
        from.checkpoint(ID, IMAGE)?;
        from.remove(ID)?;
        old.clear()?;
        from.export_checkpoint(IMAGE, &archive)?;
        from.remove_image(IMAGE)?;
        context
            .link()
            .copy_file(from.host(), &archive, to.host(), &archive)?;
        to.import_checkpoint(&archive)?;
        to.restore(ID, IMAGE)?;
        to.remove_image(IMAGE)?;
        workload.expect_same(to, &before)?;
        new.expect_names(&names)?;
        expect_owners(to, &owners)?;
    }
    a.remove(ID)
}

/// Mode, owner and name of files that came with the image, and of some that it has made itself.
fn owners(ctr: &Ctr) -> Result<String> {
    let files = [
        "/",
        "/etc",
        "/etc/passwd",
        "/usr/bin",
        WORKLOAD_DIR,
        "/workload-state",
        "/workload-state/ready",
    ];
    let stat = ["stat", "-c", "%a %u:%g %n"].into_iter().chain(files);
    let said = ctr.exec(ID, &stat.collect::<Vec<_>>())?.ok()?;
    Ok(said.text().into_owned() + "\n")
}

fn expect_owners(ctr: &Ctr, before: &str) -> Result<()> {
    let now = owners(ctr)?;
    ensure!(
        now == before,
        "on host {} the root has\n{now}and had\n{before}",
        ctr.host().name()
    );
    Ok(())
}

/// Each shim mounts layers that show the container's users.
fn mapped_layers(context: &Context) -> Result<()> {
    let map = format!("0:{ROOT}:65536");
    let run = context
        .ctr()
        .run(context.runtime(), remap_test::image::BUSYBOX_IMAGE, ID)
        .flag(["--uidmap", &map, "--gidmap", &map, "--remap-labels"])
        .shell("stat -c %u:%g / /etc /usr/bin");
    let said = run.output()?.ok()?;
    ensure!(said.text() == "0:0\n0:0\n0:0", "they are {}", said.text());
    Ok(())
}

/// With the stock shim, CRIU may not read its images.
fn stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    start(context, &shm)?;
    let _conf = CriuConf::write(context.a(), HELPFUL)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ensure!(ctr.restore(ID, IMAGE).is_err(), "the restore succeeds");
    expect_in_log(&ctr, "work/restore.log", &[".img: Permission denied"])?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}
