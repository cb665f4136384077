//! What the allocator keeps of the memory that was freed.

/// Has large pieces given back to the kernel as soon as they are freed, for good. The GNU C library
/// stops doing so when it sees the first of them freed (mallopt(3), `M_MMAP_THRESHOLD`): the buffers
/// of a checkpoint then stay for the next one, 2 MB of a shim that mostly does nothing for days.
/// Call it before there are threads.
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    {
        /// The library's own value, at first; bytes.
        const LARGE: libc::c_int = 128 * 1024;
        // SAFETY: mallopt(3) takes two numbers; what is allocated stays as it is.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
