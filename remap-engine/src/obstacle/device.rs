//! Device nodes that are open or mapped.
//!
//! CRIU dumps the memory devices (major number 1), terminals and TUN; whatever else it hands to its
//! plugins (`dump_chrdev`, `handle_vma`). The devices of GPUs, for which there are plugins, are not
//! listed, nor those whose number the kernel gives out as it likes, among which they may be.

use rustix::fs::FileType;

use super::{Found, Held, Kind, namespace_of_own};
use crate::mountinfo::Device;
use crate::process::{ProcessError, UseKind};

/// `MEM_MAJOR`: null, zero, full, random, urandom, kmsg.
const MEMORY: u32 = 1;

/// `MISC_MAJOR`.
const MISC: u32 = 10;

/// `TUN_MINOR` and `AUTOFS_MINOR`.
const DUMPED_MISC: [u32; 2] = [TUN, 235];
const TUN: u32 = 200;

/// /dev/zero, the only one that may be mapped.
const ZERO: Device = Device {
    major: MEMORY,
    minor: 5,
};

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    for (process, one) in held.uses() {
        let block = match FileType::from_raw_mode(one.mode) {
            FileType::CharacterDevice => false,
            FileType::BlockDevice => true,
            _ => continue,
        };
        let Some(device) = process.device_node(&one.kind)? else {
            continue;
        };
        let kind = match one.kind {
            UseKind::Fd(_) if block || !is_dumped(device) => Kind::Device { block, device },
            UseKind::Fd(_) if is_tun(device) && shares_network(held) => Kind::TunOfHost,
            UseKind::Mapping(..) if device != ZERO => Kind::DeviceMapping { device },
            _ => continue,
        };
        if block || !may_have_plugin(device) {
            found.held(kind, process, one);
        }
    }
    Ok(())
}

/// Whether the container has CRIU's own network namespace.
fn shares_network(held: &Held) -> bool {
    namespace_of_own("net") == held.namespace_of_init("net")
}

/// Whether CRIU itself has something for an open character device.
fn is_dumped(device: Device) -> bool {
    match device.major {
        MEMORY => true,
        MISC => DUMPED_MISC.contains(&device.minor),
        // TTY_MAJOR, TTYAUX_MAJOR, those of pseudo-terminals, USB_SERIAL_MAJOR and
        // LOW_DENSE_SERIAL_MAJOR (`get_tty_driver`).
        4 | 5 | 128..=143 | 188 | 204 => true,
        _ => false,
    }
}

fn is_tun(device: Device) -> bool {
    (device.major, device.minor) == (MISC, TUN)
}

/// Whether it may be one of a GPU: NVIDIA's 195, DRM's 226, and the numbers for dynamic assignment
/// (admin-guide/devices.txt of the kernel's documentation).
fn may_have_plugin(device: Device) -> bool {
    matches!(device.major, 195 | 226 | 234..=254 | 384..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn device(major: u32, minor: u32) -> Device {
        Device { major, minor }
    }

    #[test]
    fn memory_devices_terminals_and_tun_are_dumped() {
        for (major, minor) in [
            (1, 3),
            (1, 5),
            (1, 8),
            (1, 11),
            (5, 0),
            (5, 2),
            (136, 0),
            (143, 9),
            (4, 1),
            (10, 200),
            (10, 235),
        ] {
            assert!(is_dumped(device(major, minor)), "{major}:{minor}");
        }
        for (major, minor) in [
            (10, 229),
            (10, 232),
            (10, 237),
            (13, 64),
            (116, 1),
            (144, 0),
        ] {
            assert!(!is_dumped(device(major, minor)), "{major}:{minor}");
        }
    }

    #[test]
    fn what_may_be_a_gpu_is_left_to_criu() {
        for major in [195, 226, 234, 240, 254, 384, 511] {
            assert!(may_have_plugin(device(major, 0)), "{major}");
        }
        for major in [10, 13, 21, 116, 189] {
            assert!(!may_have_plugin(device(major, 0)), "{major}");
        }
    }
}
