//! A clean stop: SHUTDOWN and signals. Replicas that lag are waited for, the log is synced, a checkpoint is left.
//!
//! The last steps hold the loop, so that nothing is written behind what they save; a second SIGINT is heard by a thread of
//! its own then, and ends the process as `kill -9` would, which loses nothing that the log has.

use super::disk::{Appended, Ground};
use super::rdb_file::Dump;
use super::world::World;
use super::{clock, links, process};
use crate::base::Millis;
use crate::command::{PauseBy, Save, Server};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

/// What was asked for.
pub struct Request {
    pub save: Save,
    pub now: bool,
    pub force: bool,
}

/// Stops the node, behind the wait for its replicas.
pub fn begin(world: &Rc<World>, request: Request) {
    if world.server.borrow().stopping.is_some() {
        return; // it is under way; who asked again is told with the first
    }
    tracing::warn!("User requested shutdown...");
    links::stop_seeking(world);
    let (wait, number) = {
        let mut server = world.server.borrow_mut();
        let end = server.stream.end();
        let attached = server.source.attached();
        let lagging = attached > 0 && server.source.acked_count(end) < attached;
        let wait = server.config.settings.shutdown_timeout;
        let waits = !request.now && wait > 0 && lagging;
        if waits {
            let until = clock::mono() + Millis(wait * 1000);
            server.ask_for_acks();
            server.begin_pause(PauseBy::Shutdown, until, false);
        }
        (wait, waits.then(|| server.begin_stop()))
    };
    let Some(number) = number else { return finish(world, &request) };
    tracing::info!("Waiting for replicas before shutting down.");
    world.turn.notify_one();
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let deadline = clock::mono() + Millis(wait * 1000);
        loop {
            {
                let server = world.server.borrow();
                if server.stopping != Some(number) {
                    return; // SHUTDOWN ABORT
                }
                let end = server.stream.end();
                if server.source.acked_count(end) >= server.source.attached() || clock::mono() >= deadline {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        finish(&world, &request);
    });
}

/// The same, for a signal. While DEBUG PAUSE-CRON holds what happens by itself, the stop waits, and can be aborted.
pub fn by_signal(world: &Rc<World>, request: Request) {
    let number = {
        let mut server = world.server.borrow_mut();
        let waits = server.switches.pause_cron && server.stopping.is_none();
        waits.then(|| server.begin_stop())
    };
    let Some(number) = number else { return begin(world, request) };
    let world = world.clone();
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut server = world.server.borrow_mut();
            if server.stopping != Some(number) {
                return; // SHUTDOWN ABORT
            }
            if !server.switches.pause_cron {
                server.stopping = None;
                break;
            }
        }
        begin(&world, request);
    });
}

/// SHUTDOWN ABORT.
pub fn abort(world: &Rc<World>) {
    let mut server = world.server.borrow_mut();
    server.end_pause(PauseBy::Shutdown);
    world.clock_bell.notify_one();
}

/// How far the replicas are.
fn tell_replicas(server: &Server) {
    let end = server.stream.end();
    let (mut all, mut lagging) = (0, 0);
    for replica in server.source.replicas(server.mono) {
        all += 1;
        if replica.offset != end {
            lagging += 1;
            tracing::info!(
                "Lagging replica {}:{} reported offset {} behind master, lag={}, state={}.",
                replica.ip,
                replica.port,
                end.bytes_since(replica.offset),
                replica.lag_s,
                replica.state
            );
        }
    }
    if all > 0 {
        tracing::info!("{} of {all} replicas are in sync when shutting down.", all - lagging);
    }
}

fn finish(world: &Rc<World>, request: &Request) {
    let mut server = world.server.borrow_mut();
    if server.is_starting() {
        tracing::warn!("Redis is now ready to exit, bye bye..."); // the store is as it was found
        return world.stop(0);
    }
    let mut disk = world.disk_mut();
    tell_replicas(&server);
    disk.give_up_files();
    let insisting = Insisting::hear(world, Path::new(&server.config.settings.dir));
    let (mut failed, mut given_up) = (None, false);
    match disk.append(&mut server) {
        Appended::All => {}
        Appended::Fault if disk.keeps_its_word() => {
            tracing::warn!("Effects that nobody was told of are given up: they could not be appended to the log.");
            given_up = true;
        }
        Appended::Fault => failed = Some(server.fault.clone().unwrap_or_else(|| "the disk is at fault".into())),
    }
    let settings = &server.config.settings;
    let saves = match request.save {
        Save::Yes => true,
        Save::No => false,
        Save::Default => (settings.appendonly && !given_up) || (!settings.appendonly && !settings.save.is_empty()),
    };
    let logs = disk.store.log().is_some();
    if let Some(log) = disk.store.log().filter(|_| failed.is_none()) {
        tracing::info!("Calling fsync() on the log.");
        log.sync_request();
        if let Err(error) = log.sync_wait() {
            failed = Some(error.to_string());
        }
    }
    // As in Redis: where there are save points, a stop leaves a dump.
    let dumps = request.save == Save::Yes || request.save == Save::Default && !settings.save.is_empty();
    let trusted = disk.store.log_is_trusted();
    if logs && !trusted && !saves {
        // The log was turned on a moment ago, and is nothing without the checkpoint that it begins from.
        match request.force {
            true => tracing::warn!("Writing initial AOF. Exit anyway."),
            false => {
                tracing::warn!("Writing initial AOF, can't exit.");
                failed = Some("the log's first checkpoint is not made".into());
            }
        }
    }
    if saves && failed.is_none() {
        tracing::info!("Saving a checkpoint before exiting.");
        if dumps {
            disk.want_dump(Ground::Waited, None);
        }
        match disk.checkpoint_and_wait(&mut server) {
            Ok(()) => {}
            Err(why) if logs && trusted && !dumps => {
                tracing::warn!("The checkpoint is left out ({why}): the log has everything.");
            }
            Err(why) => failed = Some(why),
        }
    }
    if let Some(why) = failed {
        tracing::warn!("Error trying to save the DB, can't exit: {why}");
        if !request.force {
            server.stopping = None;
            server.end_pause(PauseBy::Shutdown);
            tracing::warn!(
                "Errors trying to shut down the server. Check the logs for more information. SHUTDOWN FORCE stops it all the same."
            );
            server.answer_shutdowns("ERR Errors trying to SHUTDOWN. Check logs.");
            world.turn.notify_one();
            return;
        }
    }
    tracing::warn!("Redis is now ready to exit, bye bye...");
    drop((server, disk, insisting));
    if logs && !given_up {
        links::stopped_clean(world);
    }
    world.stop(0);
}

/// Hears a second SIGINT while the loop is held, for as long as it lives.
struct Insisting {
    _ends: mpsc::SyncSender<()>,
}

/// A second SIGINT is noticed as soon.
const HEARD_WITHIN: Duration = Duration::from_millis(10);

impl Insisting {
    fn hear(world: &World, dir: &Path) -> Insisting {
        let (ends, ended) = mpsc::sync_channel::<()>(0);
        let files: Vec<PathBuf> = world.files.borrow().iter().cloned().chain([Dump::unfinished(dir)]).collect();
        let before = process::interrupts();
        let hears = move || {
            while ended.recv_timeout(HEARD_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
                if process::interrupts() > before {
                    tracing::warn!("You insist... exiting now.");
                    files.iter().for_each(|path| drop(std::fs::remove_file(path)));
                    process::end_at_once(1);
                }
            }
        };
        if let Err(why) = std::thread::Builder::new().name("insisting".into()).spawn(hears) {
            tracing::warn!("A second SIGINT will not be heard: {why}");
        }
        Insisting { _ends: ends }
    }
}
