//! What the demo does, and how it tells it.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use remap_test::{Ctr, Flavour, Host, Runtime, logs};

use crate::container::{self, ID, SHM_SOURCE};
use crate::hosts::Hosts;

const CHECKPOINT: &str = "remap.test/checkpoint:demo";
const ARCHIVE: &str = "/srv/checkpoint.tar";

/// Runs the demo and tells it on standard output.
///
/// # Errors
/// Something is not as the story says; the logs of both hosts are kept, and the error says where.
pub(crate) fn tell(flavour: Flavour) -> Result<()> {
    let started = Instant::now();
    println!(
        "Preparing two hosts, A and B ({flavour}), each with its own containerd, and a network between them."
    );
    println!("The first time this takes a few minutes: a Debian tree is built and cached.\n");
    let hosts = Hosts::start(flavour)?;
    let told = chapters(&hosts);
    if told.is_err() {
        for host in [&hosts.a, &hosts.b] {
            match logs::gather(host, &format!("demo-{}", host.name())) {
                Ok(dir) => println!("Logs of host {}: {}", host.name(), dir.display()),
                Err(error) => println!("The logs of host {} are lost: {error:#}", host.name()),
            }
        }
    }
    told?;
    println!("\nThe container moved. ({} s)", started.elapsed().as_secs());
    Ok(())
}

fn chapters(hosts: &Hosts) -> Result<()> {
    println!("The container: Python, a parent and a child. They share");
    println!("  - a multiprocessing.Semaphore, whose names are all gone,");
    println!("  - a named POSIX semaphore, /dev/shm/sem.demo,");
    println!("  - a named SharedMemory segment, /dev/shm/demo-segment,");
    println!(
        "on a /dev/shm that is a bind of the host's tmpfs {SHM_SOURCE}, as in a Kubernetes pod."
    );
    println!(
        "They count in the segment, one at a time, and log each step on their root file system."
    );
    with_the_stock_shim(hosts)?;
    with_this_shim(hosts)
}

fn with_the_stock_shim(hosts: &Hosts) -> Result<()> {
    println!("\n1. With the stock shim (io.containerd.runc.v2)");
    container::start(&hosts.a, Runtime::Stock)?;
    step("the container counts on A");
    let Err(error) = Ctr::new(&hosts.a).checkpoint(ID, CHECKPOINT) else {
        bail!(
            "the stock shim took a checkpoint without link-remap, which this demo says it cannot"
        );
    };
    quote("ctr c checkpoint --task --rw fails", &error);
    show_log(&hosts.a, "criu-dump.log")?;

    step("so CRIU is given the option it asks for, in /etc/criu/runc.conf, on both hosts");
    for host in [&hosts.a, &hosts.b] {
        host.shell("mkdir -p /etc/criu && echo link-remap > /etc/criu/runc.conf")?;
    }
    Ctr::new(&hosts.a).checkpoint(ID, CHECKPOINT)?;
    step("now ctr c checkpoint works");
    carry(hosts)?;
    container::remove(&hosts.a)?;
    let Err(error) = Ctr::new(&hosts.b).restore(ID, CHECKPOINT) else {
        bail!("the stock shim restored on an empty /dev/shm, which this demo says it cannot");
    };
    quote("but on B ctr c restore --rw --live fails", &error);
    show_log(&hosts.b, "restore.log")?;
    step("the container is lost: it was stopped on A and cannot start on B");
    for host in [&hosts.a, &hosts.b] {
        container::remove(host)?;
        Ctr::new(host)
            .command(["image", "rm", CHECKPOINT])
            .check()?;
        host.shell("rm /etc/criu/runc.conf")?;
    }
    Ok(())
}

fn with_this_shim(hosts: &Hosts) -> Result<()> {
    println!(
        "\n2. With this project's shim (io.containerd.remap.v2), same containerd, runc and CRIU"
    );
    container::start(&hosts.a, Runtime::Remap)?;
    step("the container counts on A");
    let first_line = container::first_log_line(&hosts.a)?;
    let lines = container::log_lines(&hosts.a)?;
    Ctr::new(&hosts.a).checkpoint(ID, CHECKPOINT)?;
    step("ctr c checkpoint --task --rw works");
    carry(hosts)?;
    container::remove(&hosts.a)?;
    step("the container is killed and deleted on A, its /dev/shm there emptied");
    Ctr::new(&hosts.b).restore(ID, CHECKPOINT)?;
    step("ctr c restore --rw --live works on B, whose /dev/shm was empty");

    ensure!(
        container::first_log_line(&hosts.b)? == first_line,
        "the log on B begins with another line"
    );
    let before = container::log_lines(&hosts.b)?;
    ensure!(before >= lines, "the log on B has fewer lines than on A");
    step(&format!(
        "the log that it wrote to its root file system on A is there ({lines} lines before the move) and grows: {before} lines"
    ));
    let seen = container::join_by_name(&hosts.b)?;
    step("a third process, by ctr t exec, opens semaphore and segment by name and takes part:");
    println!(
        "       the counter went from {} to {}, steps by {:?}",
        seen.counter_before, seen.counter_after, seen.steps
    );
    println!(
        "       while it held the semaphore the others stood still: {}; processes that were in the critical section together: {}",
        seen.excludes, seen.violations
    );
    println!(
        "       parent and child map the very inodes that the names lead to: sem.demo {}, demo-segment {}",
        seen.semaphore.ino, seen.segment.ino
    );
    let after = container::log_lines(&hosts.b)?;
    ensure!(after > before, "the processes on B do not count any more");
    step(&format!("both processes go on counting: {after} lines"));
    container::remove(&hosts.b)
}

/// Takes the checkpoint from A's containerd to B's, over the network.
fn carry(hosts: &Hosts) -> Result<()> {
    Ctr::new(&hosts.a).export_checkpoint(CHECKPOINT, ARCHIVE)?;
    hosts.send(ARCHIVE)?;
    Ctr::new(&hosts.b).import_checkpoint(ARCHIVE)?;
    let size = hosts.b.shell(&format!("stat -c %s {ARCHIVE}"))?;
    step(&format!(
        "the checkpoint travels to B over the network: {} bytes",
        size.text()
    ));
    Ok(())
}

fn step(text: &str) {
    println!("   - {text}");
}

/// Shows the last lines of an error: those of `ctr`.
fn quote(what: &str, error: &anyhow::Error) {
    step(&format!("{what}:"));
    let text = format!("{error:#}");
    for line in text.lines().filter(|line| line.contains("ctr: ")) {
        println!("       {line}");
    }
}

/// Shows the first errors in CRIU's newest log of that name; that it may not raise its own limit of
/// open files is none.
fn show_log(host: &Host, name: &str) -> Result<()> {
    let find = format!(
        "newest=$(find /run/containerd /var/lib/containerd -name {name} -printf '%T@ %p\\n' | sort -n | tail -n 1 | cut -d' ' -f2-); \
         test -n \"$newest\" && grep Error \"$newest\" | grep -v RLIMIT_NOFILE | head -n 2 || true"
    );
    for line in host.shell(&find)?.text().lines() {
        println!("       {line}");
    }
    Ok(())
}
