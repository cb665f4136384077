//! What a client can ask of containerd 2.3 and of none before it.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Containerd, Flavour, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("newest::logger", logger).flavours(&[Flavour::Forky23]),
    Scenario::new("newest::elsewhere", elsewhere)
        .flavours(&[Flavour::Forky23])
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
];

const LIMIT: Duration = Duration::from_secs(30);

/// Takes the output from 3 and 4 to two files; says by a byte on 5 that it is ready.
const LOGGER: &str = "#!/bin/sh
exec >/dev/null 2>&1
printf x >&5
exec 5>&-
cat <&4 >$LOG_DIR/error &
cat <&3 >$LOG_DIR/output
wait
";

/// `binary-v2://`: the parts of the address are the logger's command line, and it has to say that
/// it is ready.
fn logger(context: &Context) -> Result<()> {
    let (ctr, host, dir) = (context.ctr(), context.a(), context.dir()?);
    let program = format!("{dir}/logger");
    let text = LOGGER.replace("$LOG_DIR", &dir);
    host.write_file(&program, text)?;
    host.command("chmod").args(["+x", &program]).check()?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, "logged")
        .flag(["--log-uri", &format!("binary-v2://{program}?key=value")])
        .shell("echo one; echo two >&2; sleep 600")
        .start()?;
    for (file, expected) in [("output", "one"), ("error", "two")] {
        let file = format!("{dir}/{file}");
        let is_there = || Ok(host.command("cat").arg(&file).run()?.text() == expected);
        ensure!(wait::until(LIMIT, is_there)?, "{file} has no {expected}");
    }
    ctr.remove("logged")?;

    // One that says nothing is not used.
    host.write_file(&program, "#!/bin/sh\nexec 5>&-\ncat <&3\n")?;
    let refused = ctr
        .run(context.runtime(), BUSYBOX_IMAGE, "mute")
        .flag(["--log-uri", &format!("binary-v2://{program}")])
        .shell("sleep 600")
        .start();
    let error = refused.err().map(|error| error.to_string());
    ensure!(
        error.as_ref().is_some_and(|error| error.contains("logg")),
        "{error:?}"
    );
    ctr.remove("mute")
}

/// A containerd that keeps its state, and the sockets of shims, in other directories than usual: a
/// container lives, moves through a checkpoint, and ends, also with its shim.
fn elsewhere(context: &Context) -> Result<()> {
    const STATE: &str = "/run/state-elsewhere";
    const SOCKETS: &str = "/run/sockets-elsewhere";
    const ID: &str = "elsewhere";
    const IMAGE: &str = "remap.test/elsewhere:1";
    let host = context.a();
    let ctr = context
        .ctr()
        .without_plan("the state is elsewhere, which remapctl is told below");
    let names = |of: &str| -> Result<String> {
        let names = host.shell(&format!("find {of} -mindepth 1 -printf '%f\\n' || :"))?;
        Ok(names.text().into_owned())
    };
    let usual = names("/run/containerd/s")?;
    let daemon = Containerd::of(host);
    daemon.stop()?;
    daemon.start_elsewhere(context.runtime().lookup(), STATE, SOCKETS)?;

    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .shell("while :; do sleep 0.2; done")
        .start()?;
    ensure!(
        !names(SOCKETS)?.is_empty(),
        "the shim's socket is not there"
    );
    ensure!(ctr.exec(ID, &["true"])?.exit_code() == 0, "no exec");
    let plan = ["plan", "--state", STATE, ID];
    host.command("remapctl").args(plan).check()?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    let pid = ctr.wait_for(ID, &Status::Running, LIMIT)?.pid;
    host.shell(&format!(
        "kill -KILL $(awk '/^PPid:/ {{ print $2 }}' /proc/{pid}/status)"
    ))?;
    let tasks = format!("{STATE}/io.containerd.runtime.v2.task/default");
    let left = || -> Result<String> { Ok(names(&tasks)? + &names(SOCKETS)?) };
    let is_clear = wait::until(LIMIT, || Ok(left()?.is_empty()))?;
    ensure!(is_clear, "{} stays", left()?);
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)?;
    let now = names("/run/containerd/s")?;
    ensure!(now == usual, "{usual:?} became {now:?}");
    daemon.stop()?;
    // What containerd has made itself.
    host.shell(&format!("rmdir {SOCKETS} && rm -r {STATE}"))?;
    Ok(())
}
