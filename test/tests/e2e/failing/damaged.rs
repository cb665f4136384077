//! A checkpoint of which a file was damaged on its way: it is not restored, and nothing
//! is touched.

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::exported;
use crate::interrupted::ground::{Ground, expect_failure};
use crate::interrupted::restore::IMAGE;
use crate::workload::{ID, LIMIT};

/// What is done to the images, and which of them the error has to name.
const DAMAGES: [(&str, &str); 8] = [
    (
        "printf damaged | dd of=pages-1.img bs=1 seek=5000 conv=notrunc status=none",
        "pages-1.img",
    ),
    ("truncate --size 4096 pages-1.img", "pages-1.img"),
    ("rm pages-1.img", "pages-1.img"),
    ("cp files.img inventory.img", "inventory.img"),
    ("rm remap-mount-0.tar", "remap-mount-0.tar"),
    ("rm remap-manifest.json", "remap-manifest.json"),
    ("echo '{' >remap-manifest.json", "remap-manifest.json"),
    ("rm core-1.img && mkfifo core-1.img", "core-1.img"),
];

pub(super) fn images(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let (ctr, host) = (&ground.ctr, context.a());
    let at = |name: &str| format!("{}/{name}", ground.dir);
    let (whole, images, damaged) = (at("whole.tar"), at("whole"), at("damaged"));
    let probe = ground.workload.probe(ctr)?;
    ctr.checkpoint_task(ID, &images, &at("whole-work"), false)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.export_checkpoint(IMAGE, &whole)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)?;
    let before = ground.shm.contents()?;
    for (damage, name) in DAMAGES {
        host.shell(&format!(
            "cp -a {images} {damaged} && cd {damaged} && {damage}"
        ))?;
        let archive = at("damaged.tar");
        exported::replace_images(host, &whole, &damaged, &archive)?;
        ctr.import_checkpoint(&archive)?;
        let restore = ctr.command(["container", "restore", "--rw", "--live", ID, IMAGE]);
        expect_failure(restore.timeout(LIMIT).run()?, &["phase verify", name])
            .with_context(|| damage)?;
        let now = ground.shm.contents()?;
        anyhow::ensure!(
            now == before,
            "{damage}: there was\n{before}\nand is\n{now}"
        );
        ctr.remove(ID)?;
        ctr.remove_image(IMAGE)?;
        host.shell(&format!("rm -r {damaged} {archive}"))?;
    }
    ctr.import_checkpoint(&whole)?;
    ctr.restore(ID, IMAGE).context("undamaged")?;
    ground.workload.expect_same(ctr, &probe)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}
