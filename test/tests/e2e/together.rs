//! Containers that share a tmpfs, and files on it, move together: all stand still, are checkpointed
//! one after the other, and come back one after the other.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Ctr, Runtime};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::exported;
use crate::pod::{self, MEMBERS};
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("together::moves", moves).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("together::sandbox", sandbox).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("together::exit", exit).runtimes(&[Runtime::DropIn]),
    Scenario::new("together::moments", moments).runtimes(REMAP),
    Scenario::new("together::concurrent", concurrent).runtimes(REMAP),
    Scenario::new("together::runs", runs).runtimes(REMAP),
    Scenario::new("together::stock", stock).runtimes(&[Runtime::Stock]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

/// The image with the checkpoint of a container.
fn image(id: &str) -> String {
    format!("remap.test/together-{id}:1")
}

/// There and back, in either order.
fn moves(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    pod::start(context, &a_shm)?;

    checkpoint_both(&a)?;
    pod::resume(&a)?;
    pod::expect_rounds(&a).context("after a checkpoint")?;

    let [creator, user] = MEMBERS;
    for (from, from_shm, to, to_shm, order) in [
        (&a, &a_shm, &b, &b_shm, [creator, user]),
        (&b, &b_shm, &a, &a_shm, [user, creator]),
    ] {
        checkpoint_both(from)?;
        from_shm.expect_no_leftovers()?;
        pod::remove(from)?;
        from_shm.clear()?;
        for id in order {
            carry_over(context, &dir, id, from, to)?;
            to.restore(id, &image(id))?;
        }
        pod::expect_rounds(to)?;
        to_shm.expect_no_leftovers()?;
        drop_images(to)?;
    }
    pod::remove(&a)
}

/// The containers of a pod, which their annotations of CRI show to belong together: to a sandbox on
/// the other host that was made there before.
fn sandbox(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    pod::start_in_sandbox(context, &a_shm)?;
    let [creator, user] = MEMBERS;
    let error = a.checkpoint(creator, &image(creator)).err();
    let said = format!("{:#}", error.context("one alone is saved")?);
    ensure!(said.contains("pause user"), "it says only {said}");

    checkpoint_both(&a)?;
    a_shm.expect_no_leftovers()?;
    pod::remove(&a)?;
    a_shm.clear()?;
    pod::start_sandbox(b.clone(), context, &b_shm)?;
    for id in [user, creator] {
        carry_over(context, &dir, id, &a, &b)?;
        b.restore(id, &image(id))?;
    }
    pod::expect_rounds(&b)?;
    b_shm.expect_no_leftovers()?;
    for ctr in [&a, &b] {
        drop_images(ctr)?;
        ctr.remove(pod::SANDBOX)?;
    }
    pod::remove(&b)
}

/// Pauses both and takes a checkpoint of each. Both are paused afterwards.
fn checkpoint_both(ctr: &Ctr) -> Result<()> {
    drop_images(ctr)?;
    pod::pause(ctr)?;
    for id in MEMBERS {
        ctr.checkpoint(id, &image(id))?;
        for id in MEMBERS {
            ctr.wait_for(id, &Status::Paused, LIMIT)?;
        }
    }
    Ok(())
}

fn drop_images(ctr: &Ctr) -> Result<()> {
    let known = ctr.images()?;
    let mut images = MEMBERS.iter().map(|id| image(id));
    images.try_for_each(|image| match known.contains(&image) {
        true => ctr.remove_image(&image),
        false => Ok(()),
    })
}

/// Takes the checkpoint of `id` to the other host.
fn carry_over(context: &Context, dir: &str, id: &str, from: &Ctr, to: &Ctr) -> Result<()> {
    let archive = format!("{dir}/{id}.tar");
    from.export_checkpoint(&image(id), &archive)?;
    copy(context, &archive, from, to)
}

fn copy(context: &Context, archive: &str, from: &Ctr, to: &Ctr) -> Result<()> {
    context
        .link()
        .copy_file(from.host(), archive, to.host(), archive)?;
    to.import_checkpoint(archive)
}

/// Both end with their checkpoints: the second is saved when the first is no more.
fn exit(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    pod::start(context, &a_shm)?;
    checkpoint_both(&a)?;
    for id in MEMBERS {
        a.export_checkpoint(&image(id), &format!("{dir}/{id}-early.tar"))?;
    }
    drop_images(&a)?;
    pod::resume(&a)?;
    pod::expect_rounds(&a)?;
    pod::pause(&a)?;
    for id in MEMBERS {
        let images = format!("{dir}/{id}");
        a.checkpoint_task(id, &images, &format!("{images}-work"), true)?;
        a.wait_for(id, &Status::Stopped, LIMIT)?;
        a.remove(id)?;
    }
    a_shm.expect_no_leftovers()?;
    a_shm.clear()?;
    for id in MEMBERS {
        let [early, images, late] =
            ["-early.tar", "", "-late.tar"].map(|end| format!("{dir}/{id}{end}"));
        exported::replace_images(context.a(), &early, &images, &late)?;
        copy(context, &late, &a, &b)?;
        b.restore(id, &image(id))?;
    }
    pod::expect_rounds(&b)?;
    b_shm.expect_no_leftovers()?;
    drop_images(&b)?;
    pod::remove(&b)
}

/// A checkpoint of one moment and one of another do not go together, and nothing comes twice.
fn moments(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    pod::start(context, &a_shm)?;
    let [creator, user] = MEMBERS;
    let archive = |id: &str, moment: &str| format!("{dir}/{id}-{moment}.tar");
    for moment in ["old", "new"] {
        checkpoint_both(&a)?;
        for id in MEMBERS {
            a.export_checkpoint(&image(id), &archive(id, moment))?;
        }
        pod::resume(&a)?;
        pod::expect_rounds(&a)?;
    }
    pod::remove(&a)?;
    drop_images(&a)?;
    a_shm.clear()?;

    copy(context, &archive(creator, "old"), &a, &b)?;
    b.restore(creator, &image(creator))?;
    let names = b_shm.names()?;
    refused(&b, user, || {
        copy(context, &archive(user, "new"), &a, &b)?;
        b.restore(user, &image(user))
    })?;
    b_shm.expect_names(&names)?;
    b.remove_image(&image(user))?;
    copy(context, &archive(user, "old"), &a, &b)?;
    b.restore(user, &image(user))?;
    pod::expect_rounds(&b)?;
    b_shm.expect_no_leftovers()?;

    b.remove(user)?;
    let names = b_shm.names()?;
    refused(&b, user, || b.restore(user, &image(user)))?;
    b_shm.expect_names(&names)?;
    drop_images(&b)?;
    b.remove(creator)
}

/// The restore of `id` must fail because of the moment.
fn refused(ctr: &Ctr, id: &str, restore: impl Fn() -> Result<()>) -> Result<()> {
    let error = restore().err().context("it is restored")?;
    let said = format!("{error:#}");
    ensure!(said.contains("another moment"), "it says only {said}");
    ctr.remove(id)
}

/// Two clients at once: one waits for the other.
fn concurrent(context: &Context) -> Result<()> {
    let (a, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    pod::start(context, &shm)?;
    pod::pause(&a)?;
    let clients = MEMBERS.map(|id| {
        let image = image(id);
        let arguments = ["container", "checkpoint", "--task", "--rw", id, &image];
        a.command(arguments).spawn()
    });
    for client in clients {
        client?.finish(3 * LIMIT)?.ok()?;
    }
    shm.expect_no_leftovers()?;
    pod::remove(&a)?;
    shm.clear()?;
    for id in MEMBERS {
        a.restore(id, &image(id))?;
    }
    pod::expect_rounds(&a)?;
    drop_images(&a)?;
    pod::remove(&a)
}

/// Who runs, or is not declared, is named with what to do.
fn runs(context: &Context) -> Result<()> {
    let (a, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    pod::start(context, &shm)?;
    let [creator, user] = MEMBERS;
    let expect = |id: &str, parts: &[&str]| -> Result<()> {
        let error = a.checkpoint(id, &image(id)).err();
        let said = format!("{:#}", error.context("it is not refused")?);
        for part in parts {
            ensure!(said.contains(part), "no {part:?} in {said}");
        }
        Ok(())
    };
    expect(creator, &["container user", "pause user"])?;
    pod::expect_rounds(&a)?;
    let reader = "exec 3</dev/shm/pod.memory; touch /ready; while :; do sleep 0.1; done";
    a.run(context.runtime(), context.python()?, "third")
        .bind(shm.path(), "/dev/shm")
        .args(["sh", "-c", reader])
        .start()?;
    let ready = || Ok(a.exec("third", &["test", "-e", "/ready"])?.status.success());
    ensure!(remap_test::wait::until(LIMIT, ready)?, "third is not ready");
    a.pause(user)?;
    let parts = ["container third", "name third in the annotation"];
    expect(creator, &parts)?;
    a.remove("third")?;
    a.checkpoint(creator, &image(creator))?;
    drop_images(&a)?;
    a.resume(user)?;
    pod::expect_rounds(&a)?;
    pod::remove(&a)
}

/// What the stock shim makes of them, with CRIU configured as well as it can be: the restore does
/// not find their files.
fn stock(context: &Context) -> Result<()> {
    let (a, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    pod::start(context, &shm)?;
    let _conf = CriuConf::write(context.a(), "link-remap\n")?;
    for id in MEMBERS {
        a.checkpoint(id, &image(id))?;
    }
    pod::remove(&a)?;
    shm.clear()?;
    for id in MEMBERS {
        ensure!(a.restore(id, &image(id)).is_err(), "{id} is restored");
        a.remove(id)?;
    }
    drop_images(&a)
}
