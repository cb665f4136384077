//! System calls for which the crates in use have no safe function.
#![allow(unsafe_code)]

use std::io;

/// `KCMP_FILES` of linux/kcmp.h.
const KCMP_FILES: libc::c_int = 2;

/// Whether two tasks, by their numbers in the caller's pid namespace, share one file table
/// (kcmp(2)).
///
/// # Errors
/// A task is gone (`ESRCH`), or the kernel does not tell.
pub(crate) fn share_file_table(one: i32, other: i32) -> io::Result<bool> {
    let unused: libc::c_ulong = 0;
    // SAFETY: kcmp(2) takes five numbers and no pointer, and reads only the kernel's own memory.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, unused, unused) };
    if order < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(order == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_table_until_one_leaves_it() {
        let tid = || nix::unistd::gettid().as_raw();
        let main = tid();
        let other = || {
            let shared = share_file_table(main, tid()).unwrap();
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
            (shared, share_file_table(main, tid()).unwrap())
        };
        let seen = std::thread::scope(|scope| scope.spawn(other).join()).unwrap();
        assert_eq!(seen, (true, false));
        assert!(share_file_table(main, i32::MAX).is_err());
    }
}
