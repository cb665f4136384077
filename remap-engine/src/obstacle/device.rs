//! Device nodes that are open or mapped.
//!
//! CRIU dumps the memory devices (major number 1), terminals and TUN; whatever else it hands to its
//! plugins (`dump_chrdev`, `handle_vma`). The devices of GPUs, for which there are plugins, are not
//! listed, nor those whose number the kernel gives out as it likes, among which they may be.

use std::path::Path;

use rustix::fs::FileType;

use super::{Found, Held, Kind, namespace_of_own};
use crate::mountinfo::{Device, MountEntry};
use crate::process::{Process, ProcessError, Status, UseKind};

/// `MEM_MAJOR`: null, zero, full, random, urandom, kmsg.
const MEMORY: u32 = 1;

/// `MISC_MAJOR`.
const MISC: u32 = 10;

/// `TUN_MINOR` and `AUTOFS_MINOR`.
const DUMPED_MISC: [u32; 2] = [TUN, 235];
const TUN: u32 = 200;

/// /dev/tty: whatever terminal the session has (tty(4)).
const TTY: Device = Device { major: 5, minor: 0 };

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
            UseKind::Fd(_) if device == TTY && is_of_leader(held, process)? => {
                Kind::ControllingTerminal
            }
            UseKind::Fd(_) if is_slave(device) && !has_instance(process, one.device)? => {
                Kind::TerminalOfHost
            }
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

/// Whether it is the end of a pseudo-terminal that programs have (`UNIX98_PTY_SLAVE_MAJOR`).
fn is_slave(device: Device) -> bool {
    (136..=143).contains(&device.major)
}

/// Whether another process leads its session and has a terminal, which CRIU then takes for that of
/// the session.
fn is_of_leader(held: &Held, process: &Process) -> Result<bool, ProcessError> {
    let status = |process: &Process| Ok(Status::parse(&process.read("status")?));
    let own: Status = status(process)?;
    if own.session.is_none() || own.session == own.number {
        return Ok(false);
    }
    for one in held.living() {
        if status(one.process)?.number != own.session {
            continue;
        }
        for held in one.uses {
            let device = one.process.device_node(&held.kind)?;
            if matches!(held.kind, UseKind::Fd(_)) && device.is_some_and(is_slave) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the process sees the whole of this file system, and so its `ptmx`: CRIU makes a terminal
/// anew there (`open_ptmx`, pts(4)). Of one of the host's often only the terminal itself is bound.
fn has_instance(process: &Process, file_system: Device) -> Result<bool, ProcessError> {
    let mounts = process.mounts()?;
    let is_whole = |mount: &MountEntry| mount.device == file_system && mount.root == Path::new("/");
    Ok(mounts.iter().any(is_whole))
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
    fn a_terminal_is_whole_where_its_file_system_is_seen() {
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mounts = own.mounts().unwrap();
        let whole = mounts.iter().find(|mount| mount.root == Path::new("/"));
        assert!(has_instance(&own, whole.unwrap().device).unwrap());
        assert!(!has_instance(&own, device(4095, 1)).unwrap());
        assert!(is_slave(device(136, 0)) && is_slave(device(143, 9)));
        assert!(!is_slave(device(5, 2)) && !is_slave(device(4, 1)));
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
