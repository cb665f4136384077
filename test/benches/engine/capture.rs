//! Saving the contents of a tmpfs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use remap_engine::carry::capture;

use crate::{Cost, cost, memory, ms};

const ROUNDS: u32 = 5;

const GIB: u64 = 1 << 30;

/// Files of 1 GiB in all, as many as there are sizes: large ones, and the small ones of most
/// programs.
const SIZES: [u64; 2] = [64 << 20, 64 << 10];

/// 1 GiB of contents against `cp` of the same, both into another tmpfs; and 1 GiB of which nearly
/// all is a hole.
pub(crate) fn bench() -> Result<()> {
    println!("\ncapture of a tmpfs; aim: at least 0.9 of the rate of cp for what is dense");
    println!(
        "{:<30} {:>9} {:>9} {:>12} {:>11} {:>6} {:>8} {:>10}",
        "", "wall, ms", "cpu, ms", "cp wall, ms", "cp cpu, ms", "rate", "cpu rate", "memory"
    );
    for size in SIZES {
        let ground = Ground::new()?;
        ground.fill(size)?;
        let name = format!("1 GiB in files of {} KiB", size >> 10);
        let peak = ground.row(&name)?;
        ensure!(peak < 64 << 20, "a whole file was in memory");
    }
    let ground = Ground::new()?;
    let sparse = File::create(ground.path("from/sparse"))?;
    sparse.set_len(GIB)?;
    for page in 0..16 {
        sparse.write_all_at(b"data", page * (GIB / 16))?;
    }
    ground.row("1 GiB with 16 pages of data")?;
    Ok(())
}

/// Two tmpfs: one to be read, and one to be written.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Result<Self> {
        let ground = Self(tempfile::tempdir()?);
        for name in ["from", "to"] {
            let path = ground.path(name);
            fs::create_dir(&path)?;
            let options = Some("size=1200m");
            mount(
                Some("bench"),
                &path,
                Some("tmpfs"),
                MsFlags::empty(),
                options,
            )?;
        }
        Ok(ground)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn fill(&self, size: u64) -> Result<()> {
        let mut chunk = vec![0; usize::try_from(size)?];
        File::open("/dev/urandom")?.read_exact(&mut chunk)?;
        for number in 0..GIB / size {
            File::create(self.path("from").join(number.to_string()))?.write_all(&chunk)?;
        }
        Ok(())
    }

    /// Both, in turn; gives the most memory that a capture took.
    fn row(&self, name: &str) -> Result<usize> {
        let (from, archive) = (self.path("from"), self.path("to/archive"));
        let mut peak = 0;
        let mut save = || {
            let (result, bytes) = memory::peak(|| -> Result<_> {
                let root = File::open(&from)?;
                Ok(capture(root.as_fd(), File::create(&archive)?)?)
            });
            peak = peak.max(bytes);
            result.map(drop)
        };
        let copy = self.path("to/copy");
        // In turn, so that what disturbs one disturbs the other.
        let (mut ours, mut cps) = (Cost::MOST, Cost::MOST);
        for _ in 0..ROUNDS {
            ours = ours.least(cost(&mut save)?);
            fs::remove_file(&archive)?;
            cps = cps.least(cost(|| cp(&from, &copy))?);
            fs::remove_dir_all(&copy)?;
        }
        let rate = |ours: Duration, cp: Duration| cp.as_secs_f64() / ours.as_secs_f64();
        println!(
            "{name:<30} {:>9.1} {:>9.1} {:>12.1} {:>11.1} {:>6.2} {:>8.2} {:>6} KiB",
            ms(ours.wall),
            ms(ours.cpu),
            ms(cps.wall),
            ms(cps.cpu),
            rate(ours.wall, cps.wall),
            rate(ours.cpu, cps.cpu),
            peak >> 10
        );
        Ok(peak)
    }
}

fn cp(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

impl Drop for Ground {
    fn drop(&mut self) {
        for name in ["from", "to"] {
            // Nothing more can be done about it.
            let _ = umount2(&self.path(name), MntFlags::MNT_DETACH);
        }
    }
}
