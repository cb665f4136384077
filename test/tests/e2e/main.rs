//! The end-to-end tests: whole containers on real containerd, runc and CRIU.
//!
//! A *scenario* is a function in a file of this directory. It is run once for each
//! flavour (a pair of hosts, `a` and `b`, joined by a link) and for each runtime
//! that it asks for, under a name like `trixie::lifecycle::exit_code::remap`; as
//! with any test, arguments filter by name:
//!
//! ```text
//! cargo test -p remap-test --test e2e -- trixie::lifecycle
//! ```
//!
//! To add scenarios:
//!
//! 1. Make a file here with functions `fn name(context: &Context) -> Result<()>`
//!    and a list `pub(crate) const SCENARIOS: &[Scenario]` of them.
//! 2. Name the list in [`SCENARIOS`] below.
//!
//! A scenario finds the hosts running, containerd ready for its runtime and the
//! busybox image imported on both; [`context::Context::python`] gives it the Python image
//! with the workloads. It keeps its own files under `/srv` (for which
//! [`context::Context::dir`] gives it a name) and removes its containers; whatever else it
//! leaves on a host, processes, mounts, sockets, cgroups, temporary files, makes it
//! fail. After a failure the logs of both hosts are saved, and the next scenario
//! gets new hosts. A scenario that cannot be run on this machine returns
//! [`scenario::skip`], with the reason.
//!
//! Every checkpoint that a scenario takes of our shim's containers is held against its plan
//! ([`remap_test::ctr::truth`]): a scenario fails if `remapctl plan` was wrong. One that makes
//! a checkpoint fail in a way that no plan can know says so, by `without_plan` and a reason.
//!
//! Some of them are run in a virtual machine with cgroup v2, too, and those of [`machine`] there
//! only: see [`vm`].
//!
//! Scenarios of one flavour run one after the other; the flavours run in parallel.
//! The variable `REMAP_TEST_FULL=1` adds the scenarios that are marked
//! [`Scenario::full`]; `REMAP_SHIM_BIN` names a shim that is built already.

#![allow(
    clippy::indexing_slicing,
    reason = "a panic is a failure of the scenario; JSON answers null for what is missing"
)]

mod archive;
mod beside;
mod binds;
mod client;
mod context;
mod cri;
mod criu_conf;
mod crowded;
mod cut_off;
mod doctor;
mod dump_failure;
mod engines;
mod exit;
mod exported;
mod failing;
mod fidelity;
mod freeze;
mod fresh;
mod fuse;
mod ghosts;
mod host_end;
mod hosts;
mod in_use;
mod injected;
mod install;
mod interrupted;
mod leave_running;
mod lifecycle;
mod linked;
mod looks_deleted;
mod machine;
mod meanwhile;
mod memory_files;
mod metrics;
mod migration;
mod mount_namespace;
mod nerdctl;
mod network;
mod newest;
mod obstacles;
mod oom;
mod options;
mod package;
mod parity;
mod plain;
mod plan;
mod pod;
mod policy;
mod procfs;
mod prune;
mod refusal;
mod same_host;
mod scenario;
mod self_check;
mod shared;
mod shm;
mod skips;
mod special;
mod stage;
mod stock;
mod survival;
mod terminal;
mod together;
mod tool;
mod user_conf;
mod user_namespace;
mod vm;
mod workload;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use remap_test::ctr::truth;
use scenario::Scenario;

/// Every file's scenarios, in the order in which they run.
const SCENARIOS: &[&[Scenario]] = &[
    hosts::SCENARIOS,
    host_end::SCENARIOS,
    lifecycle::SCENARIOS,
    oom::SCENARIOS,
    plain::SCENARIOS,
    archive::SCENARIOS,
    beside::SCENARIOS,
    tool::SCENARIOS,
    newest::SCENARIOS,
    client::SCENARIOS,
    stock::SCENARIOS,
    migration::SCENARIOS,
    binds::SCENARIOS,
    same_host::SCENARIOS,
    in_use::SCENARIOS,
    shared::SCENARIOS,
    ghosts::SCENARIOS,
    together::SCENARIOS,
    crowded::SCENARIOS,
    leave_running::SCENARIOS,
    exit::SCENARIOS,
    metrics::SCENARIOS,
    linked::SCENARIOS,
    special::SCENARIOS,
    refusal::SCENARIOS,
    freeze::SCENARIOS,
    plan::SCENARIOS,
    policy::SCENARIOS,
    terminal::SCENARIOS,
    dump_failure::SCENARIOS,
    obstacles::SCENARIOS,
    looks_deleted::SCENARIOS,
    procfs::SCENARIOS,
    mount_namespace::SCENARIOS,
    memory_files::SCENARIOS,
    network::SCENARIOS,
    meanwhile::SCENARIOS,
    interrupted::SCENARIOS,
    survival::SCENARIOS,
    injected::SCENARIOS,
    failing::SCENARIOS,
    cut_off::SCENARIOS,
    doctor::SCENARIOS,
    install::SCENARIOS,
    prune::SCENARIOS,
    package::SCENARIOS,
    user_conf::SCENARIOS,
    user_namespace::SCENARIOS,
    engines::SCENARIOS,
    nerdctl::SCENARIOS,
    cri::SCENARIOS,
    options::SCENARIOS,
    fidelity::SCENARIOS,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One thread for each suite; more would only wait for the hosts. (What runs on a flavour
    // that is not a suite is little.)
    arguments
        .test_threads
        .get_or_insert(remap_test::Flavour::SUITES.len());
    let parity = parity::scenarios();
    let usual = SCENARIOS.iter().copied().flatten().chain(&parity);
    let trials = match vm::asked_for() {
        Some(names) => {
            let mut trials = scenario::trials(usual.chain(machine::SCENARIOS));
            trials.retain(|trial| names.iter().any(|name| name == trial.name()));
            trials
        }
        None => {
            let mut trials = scenario::trials(usual);
            trials.extend(vm::trials(&arguments));
            trials
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    stage::end_all();
    skips::print();
    if let Some(summary) = truth::summary() {
        println!("{summary}");
    }
    // A machine's is not the one that is asked for.
    if vm::asked_for().is_none() {
        match fidelity::report::write() {
            Ok(Some(path)) => println!("fidelity suite: see {}", path.display()),
            Ok(None) => {}
            Err(error) => eprintln!("{error:#}"),
        }
    }
    conclusion.exit_code()
}
