//! Of the x86_64.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::super::tracer::{wait_for_call, wait_for_stop};
use crate::criu::locks::PosixLock;
use crate::sys;

/// The instruction `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// The code segment of a program of 64 bits (`__USER_CS`).
const USER_CS: u64 = 0x33;

/// So much of a mapping is looked through for the instruction.
const SEARCHED_BYTES: usize = 4 << 20;

/// `struct flock` lies so far below the stack pointer, out of the way of what is kept there without
/// moving it (the ABI's red zone of 128 bytes).
const BELOW_STACK_BYTES: u64 = 256;

/// `struct flock` of linux/fcntl.h.
const FLOCK_BYTES: usize = 32;

pub(super) fn lock(lock: &PosixLock) -> Result<(), String> {
    let cannot = |why: String| {
        format!(
            "process {} does not get the POSIX lock back that it had on descriptor {} (bytes {} on, {} of them), which CRIU has lost because the file is mapped: {why}",
            lock.pid, lock.fd, lock.start, lock.bytes
        )
    };
    let task = Pid::from_raw(lock.pid);
    let result = call(task, lock).map_err(cannot)?;
    match Errno::from_raw(result) {
        _ if result == 0 => Ok(()),
        Errno::EAGAIN | Errno::EACCES => Err(cannot("another process has a lock there".into())),
        errno => Err(cannot(errno.to_string())),
    }
}

/// Has the task call `fcntl(fd, F_SETLK, flock)`, and gives 0 or the number of the error.
fn call(task: Pid, lock: &PosixLock) -> Result<i32, String> {
    let says = |errno: Errno| errno.to_string();
    let memory = Memory::of(task).map_err(|error| error.to_string())?;
    let before = ptrace::getregs(task).map_err(says)?;
    if before.cs != USER_CS {
        return Err("it is a program of 32 bits".into());
    }
    let instruction = memory.syscall_instruction()?;
    let place = before.rsp.wrapping_sub(BELOW_STACK_BYTES) & !15;
    let mut was = [0; FLOCK_BYTES];
    memory.read(place, &mut was)?;
    let mask = sys::signal_mask(task.as_raw()).map_err(|error| error.to_string())?;

    memory.write(place, &flock(lock))?;
    sys::set_signal_mask(task.as_raw(), u64::MAX).map_err(|error| error.to_string())?;
    let mut registers = before;
    registers.rip = instruction;
    registers.rax = u64::try_from(libc::SYS_fcntl).unwrap_or_default();
    // Nothing is to be started anew.
    registers.orig_rax = u64::MAX;
    registers.rdi = u64::try_from(lock.fd).unwrap_or(u64::MAX);
    registers.rsi = u64::try_from(libc::F_SETLK).unwrap_or_default();
    registers.rdx = place;
    ptrace::setregs(task, registers).map_err(says)?;
    for _ in ["entry", "exit"] {
        ptrace::syscall(task, None).map_err(says)?;
        wait_for_call(task)?;
    }
    let result = ptrace::getregs(task).map_err(says)?.rax.cast_signed();
    // Back to a stop as the one before, in which the kernel looks whether a system call is to be
    // started anew; none of the program's instructions runs.
    ptrace::interrupt(task).map_err(says)?;
    ptrace::cont(task, None).map_err(says)?;
    wait_for_stop(task)?;
    ptrace::setregs(task, before).map_err(says)?;
    memory.write(place, &was)?;
    sys::set_signal_mask(task.as_raw(), mask).map_err(|error| error.to_string())?;
    i32::try_from(-result).map_err(|error| error.to_string())
}

fn flock(lock: &PosixLock) -> [u8; FLOCK_BYTES] {
    let mut bytes = [0; FLOCK_BYTES];
    let start_of_file = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    let numbers = lock
        .kind
        .to_ne_bytes()
        .into_iter()
        .chain(start_of_file.to_ne_bytes());
    // Both are followed by a hole.
    let numbers = numbers.chain([0; 4]);
    let numbers = numbers
        .chain(lock.start.to_ne_bytes())
        .chain(lock.bytes.to_ne_bytes());
    bytes
        .iter_mut()
        .zip(numbers)
        .for_each(|(byte, number)| *byte = number);
    bytes
}

/// The memory of a task that is traced (proc_pid_mem(5)).
struct Memory {
    task: Pid,
    file: File,
}

impl Memory {
    fn of(task: Pid) -> std::io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{task}/mem"))?;
        Ok(Self { task, file })
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), String> {
        let read = self.file.read_exact_at(bytes, at);
        read.map_err(|error| format!("its memory at {at:#x} cannot be read: {error}"))
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|error| format!("its memory at {at:#x} cannot be written: {error}"))
    }

    /// Where there is one. Every program has one: its vDSO, its libc, or itself.
    fn syscall_instruction(&self) -> Result<u64, String> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.task));
        let maps = maps.map_err(|error| format!("its mappings cannot be read: {error}"))?;
        for (start, end) in maps.lines().filter_map(executable) {
            let bytes = usize::try_from(end - start).unwrap_or(SEARCHED_BYTES);
            let mut code = vec![0; bytes.min(SEARCHED_BYTES)];
            // A mapping beyond the end of its file cannot be read.
            if self.read(start, &mut code).is_err() {
                continue;
            }
            let mut pairs = code.windows(SYSCALL.len());
            let found = pairs.position(|pair| pair == SYSCALL);
            if let Some(offset) = found.and_then(|offset| u64::try_from(offset).ok()) {
                return Ok(start + offset);
            }
        }
        Err("it has no code that makes a system call".into())
    }
}

/// Start and end of a mapping with code (proc_pid_maps(5)), but for the kernel's own at its old
/// place.
fn executable(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()?.contains('x') && !line.ends_with("[vsyscall]");
    let number = |text| u64::from_str_radix(text, 16).ok();
    is_code.then_some((number(start)?, number(end)?))
}
