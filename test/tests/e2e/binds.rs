//! Binds that are not a whole tmpfs on /dev/shm: sub-directories of a tmpfs that the
//! host itself uses, a destination behind a symbolic link, an idle one that is shared.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Host, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::new("binds::directories_of_run", directories_of_run).runtimes(&[Runtime::Remap])];

const ID: &str = "binds";

const IMAGE: &str = "remap.test/binds:1";

/// Directories of the host's /run, a tmpfs on which the host holds many files.
const BOUND: &str = "/run/remap-binds/shm /run/remap-binds/app";

/// Holds a file whose opened name is gone on one mount, and a named one on the other.
const WORKLOAD: &str = "exec 3<>/dev/shm/first; echo held >&3; \
                        ln /dev/shm/first /dev/shm/second; rm /dev/shm/first; \
                        exec 4<>/var/run/app/named; echo named >&4; \
                        echo closed >/var/run/app/closed; touch /ready; \
                        while :; do sleep 0.1; done";

/// What both hosts must show: the held inodes are those that the names lead to.
const LOOK: &str = "same() { [ $(stat -L -c %i /proc/1/fd/$1) = $(stat -c %i $2) ] && echo same; }; \
                    cat /dev/shm/second /var/run/app/named /var/run/app/closed; \
                    same 3 /dev/shm/second; same 4 /run/app/named; ls /dev/shm";

fn directories_of_run(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let _directories = [
        Directories::make(context.a())?,
        Directories::make(context.b())?,
    ];
    context
        .b()
        .shell("echo neighbour >/run/remap-binds/neighbour")?;
    a.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind("/run/remap-binds/shm", "/dev/shm")
        .bind("/run/remap-binds/app", "/var/run/app")
        .shell(WORKLOAD)
        .start()?;
    let ready = || Ok(a.exec(ID, &["test", "-e", "/ready"])?.status.success());
    ensure!(
        wait::until(Duration::from_secs(10), ready)?,
        "it does not get ready"
    );
    let before = look(&a)?;
    ensure!(
        before == "held\nnamed\nclosed\nsame\nsame\nsecond",
        "{before}"
    );

    a.checkpoint(ID, IMAGE)?;
    ensure!(look(&a)? == before, "the source has changed");
    a.remove(ID)?;
    let archive = format!("{dir}/checkpoint.tar");
    a.export_checkpoint(IMAGE, &archive)?;
    a.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    b.import_checkpoint(&archive)?;
    b.restore(ID, IMAGE)?;
    b.remove_image(IMAGE)?;
    ensure!(look(&b)? == before, "on host b there is {}", look(&b)?);
    let neighbour = context.b().shell("cat /run/remap-binds/neighbour")?;
    ensure!(
        neighbour.text() == "neighbour",
        "what lay beside the binds is gone"
    );
    b.remove(ID)
}

fn look(ctr: &Ctr) -> Result<String> {
    let output = ctr
        .exec(ID, &["sh", "-c", LOOK])?
        .ok()
        .context("the look")?;
    Ok(output.text().into_owned())
}

/// The directories, gone when this is dropped.
struct Directories<'h>(&'h Host);

impl<'h> Directories<'h> {
    fn make(host: &'h Host) -> Result<Self> {
        host.shell(&format!("mkdir -p {BOUND}"))?;
        Ok(Self(host))
    }
}

impl Drop for Directories<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.shell("rm -r /run/remap-binds") {
            eprintln!("{error:#}");
        }
    }
}
