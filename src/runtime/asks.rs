//! Carries out what handlers asked for, behind the turn.

use super::disk::Ground;
use super::world::World;
use super::{launch, links, listener, process, reload, stop};
use crate::command::{Ask, Slot, Waiter};
use crate::config::{Change, LogLevel};
use crate::runtime::logging::{self, Verbosity};
use std::rc::Rc;
use std::time::Duration;

/// Everything that is asked for, in order.
pub fn perform(world: &Rc<World>) {
    let asks = std::mem::take(&mut world.server.borrow_mut().asks);
    for ask in asks {
        one(world, ask);
    }
    links::perform(world);
}

fn one(world: &Rc<World>, ask: Ask) {
    match ask {
        Ask::Close(slot) => world.close(slot),
        Ask::Shutdown { save, now, force } => stop::begin(world, stop::Request { save, now, force }),
        Ask::ShutdownAborted => stop::abort(world),
        ask @ (Ask::Checkpoint | Ask::Dump { .. } | Ask::Flushed { .. }) => {
            let mut disk = world.disk_mut();
            match ask {
                Ask::Dump { waiting: None } => disk.want_dump(Ground::Background, None),
                Ask::Dump { waiting } => disk.want_dump(Ground::Waited, waiting),
                Ask::Flushed { waiting } => {
                    disk.give_up_dump();
                    disk.want_dump(Ground::Waited, waiting);
                }
                _ => disk.want_rewrite(),
            }
            disk.show(&mut world.server.borrow_mut());
        }
        Ask::Replication => {} // links::perform comes behind
        Ask::BecameReplica(slot) => links::became_replica(world, slot),
        Ask::Configured(names) => configured(world, &names),
        Ask::Listen { waiter, change } => drop(tokio::task::spawn_local(listen(world.clone(), waiter, change))),
        Ask::Migrate(migration) => super::migrate::begin(world, migration),
        Ask::Sleep(span) => {
            #[expect(clippy::disallowed_methods, reason = "DEBUG SLEEP is to stop the loop")]
            std::thread::sleep(Duration::from_millis(span.0.max(0) as u64));
        }
        Ask::Reload { waiter, how } => reload::begin(world, waiter, how),
        Ask::NewHistory { replid } => {
            let mut server = world.server.borrow_mut();
            server.change_history(replid);
        }
        Ask::Die => std::process::abort(),
        Ask::Blocked(slot) => blocked(world, slot),
        Ask::Evict => world.clock_bell.notify_one(),
        Ask::PauseChanged => {
            {
                let mut server = world.server.borrow_mut();
                world.tick(&mut server);
                for slot in server.paused_clients() {
                    server.retry_paused(slot);
                }
            }
            links::pause_changed(world);
            world.turn.notify_one();
            world.clock_bell.notify_one();
        }
    }
}

/// A client was blocked or its block was lifted.
fn blocked(world: &Rc<World>, slot: Slot) {
    let lifted = {
        let mut server = world.server.borrow_mut();
        world.tick(&mut server);
        server.retry_blocked(slot);
        server.clients.get(slot).is_some_and(|client| client.blocked.is_none())
    };
    match lifted {
        true => world.resume(slot),
        false => world.clock_bell.notify_one(),
    }
}

/// Directives that need more than their new value.
fn configured(world: &Rc<World>, names: &[&'static str]) {
    let mut server = world.server.borrow_mut();
    let settings = server.config.settings.clone();
    for &name in names {
        match name {
            "loglevel" => logging::set_verbosity(verbosity(settings.loglevel)),
            "proc-title-template" | "port" | "tls-port" | "bind" => {
                launch::show_title(&server.config, launch::NODE_TITLE);
            }
            "repl-backlog-size" => server.stream.resize_backlog(settings.repl_backlog_size),
            "maxmemory" => {
                server.maxmemory_changed();
                world.clock_bell.notify_one();
            }
            "appendonly" => {
                world.disk_mut().switch_log(&mut server, settings.appendonly);
                server.retry_waits();
            }
            "rdb-key-save-delay" => {
                if let Some(disk) = world.opened() {
                    disk.save_delay.set(settings.rdb_key_save_delay);
                }
            }
            _ => {}
        }
    }
    links::configure(&mut server);
    if let Some(disk) = world.opened() {
        disk.show(&mut server);
    }
}

/// The directives that say where is listened.
const SOCKETS: [&str; 3] = ["port", "tls-port", "bind"];

/// CONFIG SET of what the listening sockets depend on: all of it holds, or none.
async fn listen(world: Rc<World>, waiter: Waiter, change: Change) {
    let names: Vec<_> = change.names().collect();
    let raised = match names.contains(&"maxclients") {
        true => {
            let wanted = world.server.borrow().config.settings.maxclients;
            process::allow_clients(wanted).map_err(|most| {
                let why = "The operating system is not able to handle the specified number of clients, try with";
                ("maxclients", format!("{why} {most}"))
            })
        }
        false => Ok(()),
    };
    let secured = match names.iter().find(|name| name.starts_with("tls-")) {
        Some(&name) => {
            let server = world.server.borrow();
            world.tls.configure(&server.config.settings).map_err(|why| (name, why))
        }
        None => Ok(()),
    };
    let reply = match raised.and(secured) {
        // Certificates alone change nothing about who listens where.
        Ok(()) if names.iter().any(|name| SOCKETS.contains(name)) => listener::reopen(&world).await,
        secured => secured,
    };
    let reply = match reply {
        Ok(()) => {
            if names.contains(&"requirepass") {
                world.server.borrow_mut().set_default_password();
            }
            configured(&world, &names);
            Ok(())
        }
        Err((name, error)) => {
            tracing::warn!("Warning: {error}");
            let settings = {
                let mut server = world.server.borrow_mut();
                server.config.undo(change);
                server.config.settings.clone()
            };
            if let Err(error) = world.tls.configure(&settings) {
                tracing::warn!("The former TLS configuration does not hold any more: {error}");
            }
            if names.iter().any(|name| SOCKETS.contains(name))
                && let Err((_, error)) = listener::reopen(&world).await
            {
                tracing::warn!("The former sockets can't be opened again: {error}");
            }
            let ports = name == "port" || (name == "tls-port" && error.starts_with("Could not create"));
            let why = match (ports, name) {
                (true, _) if names.contains(&name) => "Unable to listen on this port. Check server logs.",
                (true, _) | (_, "bind") => "Failed to bind to specified addresses.",
                _ => "Unable to update TLS configuration. Check server logs.",
            };
            let why = if name == "maxclients" { error.as_str() } else { why };
            let name = if names.contains(&name) { name } else { "bind" };
            Err(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"))
        }
    };
    world.server.borrow_mut().answer_saved(waiter, reply.as_ref().copied().map_err(String::as_str));
    world.resume(waiter.slot);
}

/// The directive's word as the log's own.
pub fn verbosity(level: LogLevel) -> Verbosity {
    match level {
        LogLevel::Debug => Verbosity::Debug,
        LogLevel::Verbose => Verbosity::Verbose,
        LogLevel::Notice => Verbosity::Notice,
        LogLevel::Warning => Verbosity::Warning,
        LogLevel::Nothing => Verbosity::Nothing,
    }
}
