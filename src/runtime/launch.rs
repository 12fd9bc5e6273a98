//! What both roles do on the way from the command line to their own business, with Redis' words.

use super::listener::Doors;
use super::process::{PidFile, claim_title_room, set_title};
use super::tls::Tls;
use super::{logging, verbosity};
use crate::base::REDIS_VERSION;
use crate::config::{Config, Role, Settings};
use std::io::Read;

/// The standard input, read only where the configuration asks for it.
struct StdIn;

impl Read for StdIn {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::io::stdin().read(buffer)
    }
}

/// Runs a role with the arguments behind its name; the exit status. A configuration that is wrong is told on the
/// standard error, whatever else goes wrong in the log.
pub fn run(role: Role, args: &[String], start: impl FnOnce(Config) -> Result<i32, String>) -> i32 {
    // SAFETY: this is the first that a role does: it was given its arguments, and its own threads come later.
    unsafe { claim_title_room() };
    let config = match Config::load(role, args, &mut StdIn) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    match start(config) {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!("{error}");
            1
        }
    }
}

/// Goes to `dir`, where relative paths are meant to be, opens the log and says who writes it.
pub fn open_log(settings: &Settings) -> Result<(), String> {
    std::env::set_current_dir(&settings.dir).map_err(|error| format!("Can't chdir to '{}': {error}", settings.dir))?;
    logging::set_verbosity(verbosity(settings.loglevel));
    logging::set_file(&settings.logfile)
        .map_err(|error| format!("Can't open the log file {}: {error}", settings.logfile))?;
    tracing::info!("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    tracing::info!(
        "Redis version={REDIS_VERSION}, Regent version={}, bits=64, modified=0, pid={}, just started",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    Ok(())
}

/// Names what is configured and means nothing here.
pub fn tell_kept(config: &Config) {
    let kept = config.kept_in_use();
    if !kept.is_empty() {
        tracing::info!("Directives without a meaning here, kept as they are: {}", kept.join(", "));
    }
}

/// The sockets of `bind`, `port` and `tls-port`: before anything else is opened, so that a port in use costs nothing.
pub fn listen(settings: &Settings) -> Result<Doors, String> {
    Doors::bind(settings).map_err(|(name, error)| {
        tracing::warn!("Warning: {error}");
        match name {
            "tls-port" => format!("Failed listening on port {} (tls), aborting.", settings.tls_port),
            _ => format!("Failed listening on port {} (tcp), aborting.", settings.port),
        }
    })
}

/// What TLS is made with, where it is configured.
pub fn tls(settings: &Settings) -> Result<Tls, String> {
    Tls::of(settings).map_err(|error| {
        tracing::warn!("{error}");
        "Failed to configure TLS. Check logs for more info.".to_string()
    })
}

/// What a node is called in `{title}`.
pub const NODE_TITLE: &str = "regent node";

/// Shows the title, as far as the settings want one.
pub fn show_title(config: &Config, title: &str) {
    if let Some(title) = config.process_title(title) {
        set_title(title.trim_end());
    }
}

/// Shows the title, and writes the pid file, which in the background has a name by default.
pub fn show(config: &Config, title: &str, default_pid_file: &str) -> PidFile {
    show_title(config, title);
    match (config.settings.pidfile.as_str(), config.settings.daemonize) {
        ("", true) => PidFile::write(default_pid_file),
        (path, _) => PidFile::write(path),
    }
}

/// Runs the role's tasks on this thread, to their exit status. What still blocks a thread then is not waited for.
pub fn block_on(role: impl Future<Output = Result<i32, String>>) -> Result<i32, String> {
    let tokio =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let status = tokio::task::LocalSet::new().block_on(&tokio, role);
    tokio.shutdown_background();
    status
}
