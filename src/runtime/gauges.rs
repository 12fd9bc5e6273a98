//! What INFO tells of the process and the machine: memory, CPU time, the system's name.
//!
//! Read once a beat, since `command/` cannot look at the machine; a figure that the system does not give stays 0.

use super::allocator;
use crate::command::Server;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::utsname::uname;
use tikv_jemalloc_ctl::{epoch, stats};

/// The allocator, as `mem_allocator` names it.
const ALLOCATOR: &str = "jemalloc-5.3.0";

/// What does not change while the process runs. Call it before any data are read.
pub fn start(server: &mut Server) {
    if let Ok(system) = uname() {
        let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let (name, release, machine) = (part(system.sysname()), part(system.release()), part(system.machine()));
        server.process.os = format!("{name} {release} {machine}");
    }
    if let Ok(path) = std::env::current_exe() {
        server.process.executable = path.display().to_string();
    }
    server.process.supervised = if std::env::var_os("NOTIFY_SOCKET").is_some() { "systemd" } else { "no" };
    server.memory.system = total_memory();
    server.memory.allocator = ALLOCATOR;
    server.memory.report = Some(report);
    server.memory.purge = Some(purge);
    let backlog = server.stream.backlog().memory_bytes() as u64; // which is told apart
    server.memory.startup = allocator::used().saturating_sub(backlog);
    sample(server);
}

/// Bytes that the allocator has given out.
fn allocated() -> u64 {
    epoch::advance().and_then(|_| stats::allocated::read()).unwrap_or_default() as u64
}

/// The allocator's own report.
fn report() -> String {
    let mut text = Vec::new();
    let written = tikv_jemalloc_ctl::stats_print::stats_print(&mut text, Default::default());
    written.map(|()| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// Gives back all pages that the allocator does not need; whether it would.
fn purge() -> bool {
    const ALL_ARENAS: &std::ffi::CStr = c"arena.4096.purge";
    let (read, read_len, written) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name ends in a zero, and nothing is read or written: this one takes no value and has none.
    unsafe { tikv_jemalloc_sys::mallctl(ALL_ARENAS.as_ptr(), read, read_len, written, 0) == 0 }
}

/// What changes.
pub fn sample(server: &mut Server) {
    let memory = &mut server.memory;
    memory.allocated = allocated();
    memory.active = stats::active::read().unwrap_or_default() as u64;
    memory.resident = stats::resident::read().unwrap_or_default() as u64;
    memory.used = allocator::used();
    memory.store = allocator::held_by_store();
    memory.peak = memory.peak.max(memory.used);
    memory.rss = resident_set();
    let cpu = &mut server.cpu;
    (cpu.user_us, cpu.sys_us) = times(UsageWho::RUSAGE_SELF);
    (cpu.user_children_us, cpu.sys_children_us) = times(UsageWho::RUSAGE_CHILDREN);
    (cpu.user_main_us, cpu.sys_main_us) = times(UsageWho::RUSAGE_THREAD);
}

/// User and system time, in microseconds.
fn times(who: UsageWho) -> (u64, u64) {
    let span = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds()).unwrap_or_default();
    let both = |usage: Usage| (span(usage.user_time()), span(usage.system_time()));
    getrusage(who).map(both).unwrap_or_default()
}

/// Bytes of the process that are in memory: the second field of `/proc/self/statm`, in pages.
fn resident_set() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or_default();
    pages * page_bytes()
}

/// Bytes of the machine's memory: the first line of `/proc/meminfo`, in KiB.
fn total_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let first = meminfo.lines().next().unwrap_or_default();
    let kib: u64 = first.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or_default();
    kib * 1024
}

fn page_bytes() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
}
