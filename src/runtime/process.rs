//! The process as its supervisor sees it: title, pid file, going to the background, readiness, signals.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where a title may stand: the memory of the arguments, and of the environment where it could be moved away.
static TITLE_ROOM: OnceLock<Option<Range<usize>>> = OnceLock::new();

/// Moves the environment away, so that a title may be as long as both. Linux keeps arguments and environment in one block.
/// (No maintained crate does this: they set the 15 bytes of the thread's name only.)
///
/// # Safety
/// No other thread may read the environment meanwhile (the allocator's, which is there already, does not)...
/// ... and nobody may ask for the arguments from now on: the caller has them.
pub unsafe fn claim_title_room() {
    let names: Vec<_> = std::env::vars_os().collect();
    let room = original_block().map(|(arguments, environment)| {
        let apart = arguments.end != environment.start;
        // What has no proper name would stay where it is.
        let odd = names.iter().any(|(name, _)| name.is_empty() || name.as_encoded_bytes().contains(&b'='));
        if apart || odd {
            return arguments;
        }
        for (name, value) in &names {
            // SAFETY: no other thread reads it, as the caller promises.
            unsafe { std::env::set_var(name, value) }
        }
        arguments.start..environment.end
    });
    let _ = TITLE_ROOM.set(room);
}

/// Sets the title that `ps` shows, over the memory that was claimed; what does not fit is cut. Of a process that has claimed
/// none, the name of the thread alone.
pub fn set_title(title: &str) {
    let name: String = title.chars().take(15).collect();
    let _ = std::fs::write("/proc/self/comm", name);
    let Some(room) = TITLE_ROOM.get().cloned().flatten().filter(|room| room.len() >= 2) else { return };
    let length = title.len().min(room.len() - 1);
    // SAFETY: the kernel says that arguments and environment of this process stand there, mapped and writable for as long as
    // it runs; nothing else of this process reads them again (`main` has taken the arguments, the environment was moved
    // away).
    unsafe {
        let block = room.start as *mut u8;
        std::ptr::write_bytes(block, 0, room.len());
        std::ptr::copy_nonoverlapping(title.as_ptr(), block, length);
    }
}

/// Fields 48 to 51 (arg_start, arg_end, env_start, env_end) of /proc/self/stat.
fn original_block() -> Option<(Range<usize>, Range<usize>)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let behind_name = &stat[stat.rfind(')')? + 2..];
    let mut fields = behind_name.split(' ').skip(45).map(|field| field.trim().parse::<usize>().ok());
    let mut range = || Some(fields.next()??..fields.next()??);
    let (arguments, environment) = (range()?, range()?);
    (!arguments.is_empty()).then_some((arguments, environment))
}

/// Which run of the machine this is: another one after a power cut. Empty where the system does not say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Descriptors that are ours and no client's: the store's files, listening sockets, links.
const RESERVED_FILES: u64 = 32;

/// Sees to it that so many clients may be connected; the most that may be where the system does not allow it.
pub fn allow_clients(clients: i64) -> Result<(), i64> {
    let wanted = u64::try_from(clients).unwrap_or(0).saturating_add(RESERVED_FILES);
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if now >= wanted {
        return Ok(());
    }
    let set = |files| setrlimit(Resource::RLIMIT_NOFILE, files, most.max(files));
    if set(wanted).is_ok() {
        tracing::info!("Increased maximum number of open files to {wanted} (it was originally set to {now}).");
        return Ok(());
    }
    let reached = if most > now && set(most).is_ok() { most } else { now };
    if reached >= wanted {
        return Ok(());
    }
    Err(i64::try_from(reached.saturating_sub(RESERVED_FILES)).unwrap_or(i64::MAX))
}

/// The same at start, where what the system allows is taken; the number of clients.
///
/// # Errors
/// Where not even one would have room.
pub fn open_files_limit(clients: i64) -> Result<i64, String> {
    let Err(most) = allow_clients(clients) else { return Ok(clients) };
    let wanted = clients as u64 + RESERVED_FILES;
    let files = most as u64 + RESERVED_FILES;
    if most < 1 {
        return Err(format!(
            "Your current 'ulimit -n' of {files} is not enough for the server to start. Please increase your open file \
             limit to at least {wanted}. Exiting."
        ));
    }
    tracing::warn!("You requested maxclients of {clients} requiring at least {wanted} max file descriptors.");
    tracing::warn!(
        "Current maximum open files is {files}. maxclients has been reduced to {most} to compensate for low ulimit. If \
         you need higher maxclients increase 'ulimit -n'."
    );
    Ok(most)
}

/// Writes the process id, for as long as the value lives.
pub struct PidFile(Option<std::path::PathBuf>);

impl PidFile {
    /// An empty path writes none; a path that cannot be written is warned of, as Redis does.
    pub fn write(path: &str) -> Self {
        if path.is_empty() {
            return PidFile(None);
        }
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => PidFile(Some(Path::new(path).to_path_buf())),
            Err(error) => {
                tracing::warn!("Failed to write PID file: {path}: {error}");
                PidFile(None)
            }
        }
    }
}

impl PidFile {
    /// Where it stands.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
            tracing::info!("Removing the pid file.");
        }
    }
}

/// Goes to the background. Before any thread is started.
pub fn daemonize() -> Result<(), String> {
    // SAFETY: called in main before any thread exists, so the child has the whole process.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {}
        -1 => return Err(format!("fork: {}", std::io::Error::last_os_error())),
        _ => std::process::exit(0),
    }
    // SAFETY: setsid, open and dup2 of /dev/null over the standard streams are plain system calls.
    unsafe {
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null >= 0 {
            for fd in 0..3 {
                libc::dup2(null, fd);
            }
            if null > 2 {
                libc::close(null);
            }
        }
    }
    Ok(())
}

/// Tells systemd that the process is ready, where it listens.
pub fn notify_ready() {
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
}

/// A signal's count, for who holds the loop, beside what the loop itself has taken.
struct Heard {
    come: AtomicU64,
    taken: AtomicU64,
}

static INTERRUPTS: Heard = Heard::new();
static TERMINATIONS: Heard = Heard::new();

impl Heard {
    const fn new() -> Heard {
        Heard { come: AtomicU64::new(0), taken: AtomicU64::new(0) }
    }

    fn pending(&self) -> u64 {
        self.come.load(Relaxed).saturating_sub(self.taken.load(Relaxed))
    }

    fn take(&self) {
        self.taken.store(self.come.load(Relaxed), Relaxed);
    }
}

/// How many SIGINTs have come.
pub fn interrupts() -> u64 {
    INTERRUPTS.come.load(Relaxed)
}

/// Whether a signal to stop has come that the loop has not taken.
pub fn asked_to_stop() -> bool {
    INTERRUPTS.pending() + TERMINATIONS.pending() > 0
}

/// Whether a second SIGINT has come before the loop could take the first.
pub fn insists() -> bool {
    INTERRUPTS.pending() > 1
}

/// Ends the process without another word, as `kill -9` does.
pub fn end_at_once(status: i32) -> ! {
    // SAFETY: the process ends here; nothing runs behind it.
    unsafe { libc::_exit(status) }
}

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Interrupt,
    Terminate,
}

impl Signals {
    /// From now on they are ours; a broken pipe and a hang-up are none of our business, and a limit on the size of files
    /// is an error of the write that meets it.
    pub fn listen() -> std::io::Result<Self> {
        // SAFETY: setting a signal to be ignored has no precondition.
        unsafe {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        }
        let count = |signal, heard: &'static Heard| {
            // SAFETY: adding to an atomic number is all that the handler does, which any signal may interrupt.
            let counts = move || {
                heard.come.fetch_add(1, Relaxed);
            };
            unsafe { signal_hook_registry::register(signal, counts) }
        };
        count(libc::SIGINT, &INTERRUPTS)?;
        count(libc::SIGTERM, &TERMINATIONS)?;
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => {
                INTERRUPTS.take();
                Stop::Interrupt
            }
            _ = self.terminate.recv() => {
                TERMINATIONS.take();
                Stop::Terminate
            }
        }
    }
}
