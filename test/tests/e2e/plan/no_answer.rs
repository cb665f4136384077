//! Questions that have no answer, and why.

use anyhow::Result;
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Runtime};

use super::ask::{expect, plan};
use crate::context::Context;
use crate::workload::LIMIT;

/// Exit code 3, and what to do.
pub(super) fn no_answer(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let elsewhere = Ctr::in_namespace(context.a(), "elsewhere");
    let run = |ctr: &Ctr, runtime, id: &str, line| {
        ctr.run(runtime, BUSYBOX_IMAGE, id).shell(line).start()
    };
    elsewhere.import_image("/srv/busybox.tar")?;
    run(&ctr, context.runtime(), "ours", "sleep 600")?;
    run(&ctr, Runtime::Stock, "stock", "sleep 600")?;
    run(&ctr, context.runtime(), "ended", "true")?;
    run(&elsewhere, context.runtime(), "hidden", "sleep 600")?;
    ctr.wait_for("ended", &Status::Stopped, LIMIT)?;

    let ask = |id, options: &[&str]| plan(&ctr, id, options);
    let listed = "there are: ended, ours, stock";
    expect(&ask("nobody", &[])?, 3, &["no container nobody", listed])?;
    expect(
        &ask("hidden", &[])?,
        3,
        &["in the namespace elsewhere (-n)"],
    )?;
    expect(
        &ask("hidden", &["-n", "elsewhere"])?,
        0,
        &["namespace elsewhere"],
    )?;
    let other = ["another shim", "create the container anew"];
    expect(&ask("stock", &[])?, 3, &other)?;
    expect(&ask("ended", &[])?, 3, &["cannot plan", "it is stopped"])?;
    expect(&ask("ours", &["--state", "/nowhere"])?, 3, &["--state"])?;
    expect(&ask("ours", &["--nonsense"])?, 2, &["--nonsense"])?;
    expect(&ask("ours", &[])?, 0, &[])?;

    for id in ["ours", "stock", "ended"] {
        ctr.remove(id)?;
    }
    elsewhere.remove_all()?;
    for image in elsewhere.images()? {
        elsewhere.remove_image(&image)?;
    }
    elsewhere
        .command(["namespace", "remove", "elsewhere"])
        .check()?;
    // What containerd and runc keep of a namespace.
    context.a().shell(
        "rmdir /sys/fs/cgroup/*/elsewhere \
         /run/containerd/io.containerd.runtime.v2.task/elsewhere /run/containerd/runc/elsewhere \
         /var/lib/containerd/io.containerd.runtime.v2.task/elsewhere",
    )?;
    Ok(())
}
