//! Figures of the engine alone, without containerd: what it costs to look at a container, and to
//! save what it holds.
//!
//! ```text
//! cargo bench -p remap-test --bench engine [-- scan|capture]
//! ```
//!
//! Needs root, and 3 GiB of memory for `capture`. Prints the least of several runs, which is what a
//! busy machine disturbs the least, and ratios. Nothing is asserted: a figure is no test.

mod capture;
mod memory;
mod scan;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::resource::{UsageWho, getrusage};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() -> Result<()> {
    let args = std::env::args().skip(1);
    let args: Vec<String> = args.filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            scan::bench()?;
            capture::bench()
        }
        ["scan"] => scan::bench(),
        ["capture"] => capture::bench(),
        ["hold", dir, count, processes] => scan::hold(dir, count.parse()?, processes.parse()?),
        _ => bail!("unknown arguments: {}", args.join(" ")),
    }
}

/// The least that something took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// On the clock.
    wall: Duration,
    /// Of the processors, ours and the kernel's for us.
    cpu: Duration,
}

impl Cost {
    /// More than anything takes.
    const MOST: Self = Self {
        wall: Duration::MAX,
        cpu: Duration::MAX,
    };

    fn least(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
        }
    }
}

/// What `work` takes.
fn cost(work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (started, before) = (Instant::now(), cpu()?);
    work()?;
    Ok(Cost {
        wall: started.elapsed(),
        cpu: cpu()?.saturating_sub(before),
    })
}

/// The least that `work` takes, of a number of times.
fn least(rounds: u32, mut work: impl FnMut() -> Result<()>) -> Result<Cost> {
    let mut least = Cost::MOST;
    for _ in 0..rounds {
        least = least.least(cost(&mut work)?);
    }
    Ok(least)
}

/// What this process and its children that have ended have used of the processors.
fn cpu() -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            let seconds = u64::try_from(time.tv_sec())?;
            sum += Duration::from_secs(seconds) + Duration::from_micros(time.tv_usec().try_into()?);
        }
    }
    Ok(sum)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
