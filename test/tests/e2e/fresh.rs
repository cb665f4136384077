//! A host on which nothing of this project is installed: containerd as Debian's package has it, and a
//! build of the shim and of `remapctl` in a directory where nobody looks.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::exec::Output;
use remap_test::image::{self, BUSYBOX_IMAGE};
use remap_test::{Ctr, Host, HostCommand, Runtime, shim, wait};

use crate::context::Context;
use crate::stage;

/// Where the build is.
pub(crate) const BUILD: &str = "/srv/build";

/// The `PATH` that systemd gives to services on Debian.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// Where containerd keeps what it knows of the tasks in its namespace `default`.
const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/default";

const LIMIT: Duration = Duration::from_secs(30);

/// All files but those of the kernel, of containerd, and of the tests.
const FILES: &str = r"find / \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /srv \
    -o -path /var/lib/containerd -o -path /var/log -o -path /opt/containerd -o -path /var/lib/dpkg \
    -o -path /var/cache \) -prune -o -printf '%p %y %m %l %s\n' | grep -v '^/[^ ]* d' | sort";

/// It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) host: Host,
}

impl Fresh {
    /// Starts it, with the image of busybox, and containerd with the usual [`PATH`].
    pub(crate) fn start(context: &Context) -> Result<Self> {
        let fresh = Self::of(Host::start(context.tree(), "c")?)?;
        fresh.start_containerd(PATH)?;
        image::busybox(context.tree().root(), &fresh.host.path("/srv/busybox.tar"))?;
        fresh.ctr().import_image("/srv/busybox.tar")?;
        Ok(fresh)
    }

    /// A host that is there, with the build.
    pub(crate) fn of(host: Host) -> Result<Self> {
        let built = stage::shim_binary()?;
        for (name, path) in [
            ("containerd-shim-remap-v2", built.clone()),
            (shim::TOOL, built.with_file_name(shim::TOOL)),
        ] {
            let into = Path::new(BUILD).join(name);
            host.install_file(&path, &into, 0o755)?;
        }
        Ok(Self { host })
    }

    /// Starts containerd with what its configuration is now.
    pub(crate) fn start_containerd(&self, path: &str) -> Result<()> {
        let line = "exec setsid -f sh -c 'echo $$ >/run/containerd.pid && exec /usr/bin/containerd' \
                    >>/var/log/containerd.log 2>&1";
        let command = self.host.command("sh").args(["-c", line]);
        command.env("PATH", path).check()?;
        let answers = || {
            let command = self.host.command("ctr").arg("version");
            Ok(command.run()?.status.success())
        };
        ensure!(wait::until(LIMIT, answers)?, "containerd does not answer");
        Ok(())
    }

    /// Ends it; its containers run on.
    pub(crate) fn stop_containerd(&self) -> Result<()> {
        self.host.shell(
            "pid=$(cat /run/containerd.pid) && kill $pid && \
             while kill -0 $pid 2>/dev/null; do sleep 0.05; done",
        )?;
        Ok(())
    }

    /// Both.
    pub(crate) fn restart_containerd(&self) -> Result<()> {
        self.stop_containerd()?;
        self.start_containerd(PATH)
    }

    pub(crate) fn ctr(&self) -> Ctr<'_> {
        Ctr::new(&self.host)
    }

    /// Runs the container `id`, by whichever shim containerd takes.
    pub(crate) fn run(&self, id: &str, runtime: Runtime) -> Result<()> {
        let run = self.ctr().run(runtime, BUSYBOX_IMAGE, id);
        run.shell("while :; do sleep 1; done").start()
    }

    /// A command of the build's `remapctl`.
    pub(crate) fn remapctl(&self, args: &str) -> HostCommand<'_> {
        let command = self.host.command(format!("{BUILD}/{}", shim::TOOL));
        command.args(args.split(' '))
    }

    /// It has to end with `code`, and say these `parts`, whatever its lines.
    pub(crate) fn expect(&self, args: &str, code: i32, parts: &[&str]) -> Result<Output> {
        let output = self.remapctl(args).run()?;
        says(&output, code, parts).with_context(|| format!("remapctl {args}"))?;
        Ok(output)
    }

    /// The shim that containerd would run for the container `id`.
    pub(crate) fn noted_shim(&self, id: &str) -> Result<String> {
        let path = format!("{BUNDLES}/{id}/shim-binary-path");
        Ok(String::from_utf8(self.host.read_file(&path)?)?)
    }

    /// A line for each file and link of the system.
    pub(crate) fn files(&self) -> Result<String> {
        Ok(self.host.shell(FILES)?.text().into_owned())
    }

    /// Saves the container `id` and lets it run on; then it is there, and runs.
    pub(crate) fn expect_checkpoint(&self, id: &str) -> Result<()> {
        let images = format!("/srv/images-{id}");
        self.host.command("rm").args(["-rf", &images]).check()?;
        let command = self.ctr();
        command
            .command(["task", "checkpoint", "--image-path", &images, id])
            .check()?;
        self.host
            .shell(&format!("test -e {images}/remap-manifest.json"))?;
        self.expect_running(id)
    }

    /// It runs, and takes a command.
    pub(crate) fn expect_running(&self, id: &str) -> Result<()> {
        let output = self.ctr().exec(id, &["echo", "here"])?;
        ensure!(output.text() == "here", "{id}: {output:?}");
        Ok(())
    }
}

/// The exit code must be `code`, and what is printed must have these `parts`, whatever its lines.
pub(crate) fn says(output: &Output, code: i32, parts: &[&str]) -> Result<()> {
    let text = format!("{}\n{}", output.text(), output.error_text());
    ensure!(output.exit_code() == code, "not {code}: {output:?}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        ensure!(
            words(&text).contains(&words(part)),
            "no {part:?} in\n{text}"
        );
    }
    Ok(())
}
