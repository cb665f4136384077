//! What a client can ask of containerd 2.3 and of none before it.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Flavour, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::new("newest::logger", logger).flavours(&[Flavour::Forky23])];

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
