//! Threads that work while the loop serves.

/// How much a thread in the background gives way (`nice`): of a core that both want it gets a quarter.
const GIVES_WAY: libc::c_int = 5;

/// This thread gives way to the loop, and so do those that it starts (sled's). Where there are fewer cores than work, what
/// clients wait for comes first. See `setpriority(2)`: on Linux it is of one thread; elsewhere nothing is changed.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    // SAFETY: a plain system call on the calling thread; where it fails the thread is as it was.
    unsafe {
        let before = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, before + GIVES_WAY);
    }
}
