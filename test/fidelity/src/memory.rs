//! Mappings.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use anyhow::{Context, Result};
use nix::libc::off_t;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::fs::makedev;

use crate::watch::{Inode, Watch};

/// A piece of memory that this process has mapped for good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping {
    address: usize,
    size: usize,
}

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

impl Mapping {
    /// Maps `size` bytes of a file, shared.
    pub(crate) fn shared(file: &File, size: usize) -> Result<Self> {
        Self::of(file, 0, size, READ_WRITE, MapFlags::MAP_SHARED)
    }

    /// Maps a part of a file in any way.
    pub(crate) fn of(
        file: &File,
        offset: off_t,
        size: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self> {
        let length = NonZeroUsize::new(size).context("nothing to map")?;
        // SAFETY: the kernel chooses an address where nothing is, and what is mapped is only
        // reached through this type, as atomics or through the kernel.
        let address = unsafe { mmap(None, length, protection, flags, file.as_fd(), offset) }
            .context("cannot map a file")?;
        Ok(Self {
            address: address.addr().get(),
            size,
        })
    }

    /// Memory of no file.
    pub(crate) fn anonymous(size: usize, flags: MapFlags) -> Result<Self> {
        let length = NonZeroUsize::new(size).context("nothing to map")?;
        // SAFETY: as in `of`.
        let address = unsafe { mmap_anonymous(None, length, READ_WRITE, flags) }
            .context("cannot map memory")?;
        Ok(Self {
            address: address.addr().get(),
            size,
        })
    }

    /// Where it begins.
    pub(crate) fn address(self) -> usize {
        self.address
    }

    /// The word of 8 bytes at `index`.
    pub(crate) fn word(self, index: usize) -> &'static AtomicU64 {
        assert!((index + 1) * 8 <= self.size, "no word {index}");
        // SAFETY: in the mapping, which stays for good, aligned since it begins with a page, and
        // everybody who shares it uses atomics.
        unsafe {
            AtomicU64::from_ptr(
                std::ptr::with_exposed_provenance_mut::<u64>(self.address).add(index),
            )
        }
    }

    /// The word of 4 bytes at `index`, as futexes are.
    pub(crate) fn half(self, index: usize) -> &'static AtomicU32 {
        assert!((index + 1) * 4 <= self.size, "no word {index}");
        // SAFETY: as in `word`.
        unsafe {
            AtomicU32::from_ptr(
                std::ptr::with_exposed_provenance_mut::<u32>(self.address).add(index),
            )
        }
    }

    /// Writes `bytes` to its beginning.
    pub(crate) fn fill(self, bytes: &[u8]) {
        assert!(bytes.len() <= self.size, "it has {} bytes", self.size);
        let target = std::ptr::with_exposed_provenance_mut::<u8>(self.address);
        // SAFETY: within the mapping, and nothing in Rust's memory overlaps with it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) }
    }

    /// Keeps it in memory, by mlock(2).
    pub(crate) fn lock(self) -> Result<()> {
        let start = std::ptr::with_exposed_provenance(self.address);
        // SAFETY: it changes nothing that could be seen.
        nix::errno::Errno::result(unsafe { libc::mlock(start, self.size) }).context("mlock")?;
        Ok(())
    }

    /// A checksum of it from `skip` on.
    pub(crate) fn checksum(self, skip: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        let start = std::ptr::with_exposed_provenance::<u8>(self.address);
        for index in skip..self.size {
            // SAFETY: within the mapping, which can be read.
            hasher.write_u8(unsafe { start.add(index).read_volatile() });
        }
        hasher.finish()
    }

    /// Watches its protection, its place in the file, and from `skip` on what is in it.
    pub(crate) fn watch(self, watch: &mut Watch, label: &str, skip: usize) {
        watch.fact(&format!("the mapping {label}"), move || {
            let line = self.line()?;
            let fields = line.split_whitespace().take(3).collect::<Vec<_>>();
            Ok(format!("{} {:016x}", fields.join(" "), self.checksum(skip)))
        });
    }

    /// Watches which file it is of, too.
    pub(crate) fn watch_file(self, watch: &mut Watch, label: &str, skip: usize) {
        self.watch(watch, label, skip);
        watch.inode(&format!("mapping of {label}"), move || self.inode());
    }

    /// What /proc says it maps.
    pub(crate) fn inode(self) -> Result<Inode> {
        let line = self.line()?;
        let mut fields = line.split_whitespace().skip(3);
        let device = fields.next().context("no device")?;
        let (major, minor) = device.split_once(':').context("no minor number")?;
        let device = makedev(
            u32::from_str_radix(major, 16)?,
            u32::from_str_radix(minor, 16)?,
        );
        Ok(Inode(device, fields.next().context("no inode")?.parse()?))
    }

    /// Its line in proc_pid_maps(5).
    fn line(self) -> Result<String> {
        let maps = fs::read("/proc/self/maps")?;
        let start = format!("{:08x}-", self.address);
        let maps = String::from_utf8_lossy(&maps);
        let line = maps.lines().find(|line| line.starts_with(&start));
        Ok(line.context("it is not mapped any more")?.to_owned())
    }
}
