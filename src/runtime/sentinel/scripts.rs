//! The operator's scripts, as children of this process: no shell, no descriptors but the standard ones, the environment
//! as it is.

use super::World;
use crate::monitor::{Ended, Event, JobId};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::rc::Rc;
use tokio::process::Command;
use tokio::sync::oneshot;

/// `execve` failed: the status that a child of Redis Sentinel ends with then.
const NOT_EXECUTED: i32 = 2;

/// Runs one script to its end.
pub async fn run(world: Rc<World>, job: JobId, argv: Vec<String>, kill: oneshot::Receiver<()>) {
    let ended = match spawn(&argv) {
        Ok(mut child) => {
            world.event(Event::ScriptStarted { job, pid: child.id().unwrap_or(0) });
            let status = tokio::select! {
                status = child.wait() => status,
                Ok(()) = kill => {
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            match status {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => Ended::Exit(code),
                    (None, signal) => Ended::Signal(signal.unwrap_or(99)),
                },
                Err(_) => Ended::Signal(99),
            }
        }
        Err(why) => {
            tracing::warn!("the script {} cannot be run: {why}", argv[0]);
            Ended::Exit(NOT_EXECUTED)
        }
    };
    world.scripts.borrow_mut().remove(&job);
    world.event(Event::ScriptEnded { job, how: ended });
}

fn spawn(argv: &[String]) -> std::io::Result<tokio::process::Child> {
    // A name without a slash is a file of the working directory, as for execve; it is not looked for in PATH.
    let path = if argv[0].contains('/') { argv[0].clone() } else { format!("./{}", argv[0]) };
    let mut command = std::process::Command::new(path);
    command.arg0(&argv[0]).args(&argv[1..]);
    Command::from(command).spawn()
}
