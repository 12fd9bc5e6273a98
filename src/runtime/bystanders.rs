//! What others are told while a script takes too long.
//!
//! The script holds the loop, so the loop's sockets are looked at from inside it, without waiting and without the tasks
//! that own them: who has sent something is answered, mostly with BUSY, and who knocks at a plain TCP port or the Unix socket
//! is let in. Tasks find what is left when the script has ended. TLS handshakes wait for that, and what is new in the stream.
//! As in Redis timers rest meanwhile, and a signal to stop waits for the script; but links do not grow late by it: replicas'
//! acknowledgements are taken, one that has left is seen, and a replica whose own script takes long acknowledges and sees that its master speaks.
//!
//! A script that is debugged stops for as long as its client thinks: the client's own socket is waited for here, a moment at
//! a time, and others are heard in between.
//!
//! Nothing of the script leaves (N1), but to the client that debugs it. What a command may say while a script runs shows
//! none of its effects, and a client to which the script has said something is not heard any more: that goes out with the
//! script's turn, and what the client asks comes behind it. What was executed before the script is appended first; the
//! script's own effects are not among it, they are a unit that is still open.

use super::connection::Connection;
use super::disk::Appended;
use super::world::World;
use super::{clock, links, listener, process};
use crate::base::limits::READ_SHARE_BYTES;
use crate::command::scripting::Bystanders;
use crate::command::{Ask, Client, Closing, Kind, Save, Server, Slot};
use crate::config::AppendFsync;
use crate::resp;
use crate::session;
use std::cell::Cell;
use std::rc::{Rc, Weak};

/// The script goes on for so long, microseconds, before others are heard again...
const PAUSE_US: u64 = 10_000;
/// ... and for so many times what it took to hear them.
const PAUSE_TIMES: u64 = 4;

/// How long the debugger's client is waited for before others are heard, milliseconds...
const WAIT_MS: u16 = 10;
/// ... and how long it may take to make room for what it is told.
const TELL_MS_MAX: u64 = 5000;
/// Bytes that are read from it at a time.
const HEARD_BYTES: usize = 4096;

/// The way from a running script back to the sockets.
pub struct Hearing {
    world: Weak<World>,
    /// When others are heard again.
    due_us: Cell<u64>,
}

impl Hearing {
    pub fn new(world: &Rc<World>) -> Self {
        Hearing { world: Rc::downgrade(world), due_us: Cell::new(0) }
    }
}

impl Bystanders for Hearing {
    fn hear(&self, server: &mut Server, running: Slot) {
        let began = clock::micros();
        let Some(world) = self.world.upgrade().filter(|_| began >= self.due_us.get()) else { return };
        if process::insists() {
            end(&world, 1);
        }
        // Where the log takes nothing, who asks is told nothing; an order to end is heard all the same.
        let tells = in_log(&world, server);
        listener::admit(&world, server);
        hear_all(&world, server, running, tells);
        if tells {
            links::stand_by(&world, server);
        }
        let now = clock::micros();
        self.due_us.set(now + PAUSE_US.max(PAUSE_TIMES * now.saturating_sub(began)));
    }

    fn tell(&self, server: &mut Server, slot: Slot, bytes: &[u8]) {
        let Some(world) = self.world.upgrade() else { return };
        let Some(connection) = world.connection(slot) else { return };
        if server.clients.get(slot).is_none_or(|client| client.closing.is_some()) {
            return;
        }
        // What was executed before the script may show in what it is told.
        if !in_log(&world, server) || !connection.write_whole(bytes, TELL_MS_MAX) {
            server.close(slot, Closing::Now);
            return;
        }
        server.stats.net_out += bytes.len() as u64;
        server.stats.writes += 1;
    }

    fn wait_for(&self, server: &mut Server, slot: Slot, heard: &mut Vec<u8>) -> Option<usize> {
        let world = self.world.upgrade()?;
        let connection = world.connection(slot)?;
        if process::asked_to_stop() {
            tracing::warn!("The node is told to stop: the debugger's session ends as if its client had left.");
            return None;
        }
        heard.resize(HEARD_BYTES, 0);
        let count = connection.read_within(heard, WAIT_MS);
        heard.truncate(count.unwrap_or(0));
        server.stats.net_in += heard.len() as u64;
        count
    }
}

fn hear_all(world: &World, server: &mut Server, running: Slot, tells: bool) {
    let mut buffer = vec![0; READ_SHARE_BYTES];
    let mut args = resp::Args::default();
    for connection in world.all_connections() {
        let slot = connection.slot;
        let is_heard = |client: &Client| client.kind != Kind::Stream && client.closing.is_none();
        if slot == running || !server.clients.get(slot).is_some_and(is_heard) || !server.is_untold(slot) {
            continue;
        }
        let read = connection.read_now(&mut buffer);
        let is_replica = server.clients[slot].kind == Kind::Replica;
        if read.is_none() && is_replica {
            // Whether it is there decides what the script may write next, if it asks (INFO).
            let id = server.clients[slot].id;
            if let Ok(mut links) = world.links.try_borrow_mut() {
                links.gone(server, id);
            }
        }
        if let Some(read @ 1..) = read {
            server.stats.net_in += read as u64;
            server.stats.reads += 1;
            server.last_tick = clock::micros(); // only this: for all that is executed the script's time stands still
            let before = server.mono;
            if is_replica {
                server.mono = clock::mono(); // an acknowledgement is of its time
            }
            session::input(server, slot, &buffer[..read], &mut args);
            server.mono = before;
            if server.asks.iter().any(|ask| matches!(ask, Ask::Shutdown { save: Save::No, .. })) {
                end(world, 0);
            }
        }
        if tells && server.clients.get(slot).is_some_and(|client| client.kind == Kind::Normal) {
            tell(&connection, server);
        }
    }
}

/// Whether all that was executed before the script is in the log, and on the disk where that is asked for.
fn in_log(world: &World, server: &mut Server) -> bool {
    let Some(mut disk) = world.try_disk() else { return false };
    if disk.append_pending(server) != Appended::All {
        return false;
    }
    let always = server.config.settings.appendfsync == AppendFsync::Always;
    match disk.store.log().filter(|log| always && log.synced() < server.stream.end()) {
        Some(log) => {
            log.sync_request();
            log.sync_wait().is_ok()
        }
        None => true,
    }
}

/// What the socket does not take now goes out behind the script.
fn tell(connection: &Connection, server: &mut Server) {
    let Some(client) = server.clients.get_mut(connection.slot) else { return };
    if !client.has_output() {
        return;
    }
    client.cleared = client.out.len();
    let sent = client.give(|bytes| connection.write_now(bytes));
    client.bytes_out += sent as u64;
    server.stats.net_out += sent as u64;
    server.stats.writes += 1;
}

/// SHUTDOWN NOSAVE, or a second SIGINT, ends a script that nothing else can end: its effects are in no log, so a restart
/// finds what was there before it.
fn end(world: &World, status: i32) -> ! {
    tracing::warn!("User requested shutdown while a script runs: its effects are given up.");
    if let Some(disk) = world.try_disk()
        && let Some(log) = disk.store.log()
    {
        log.sync_request();
        if let Err(why) = log.sync_wait() {
            tracing::warn!("The log could not be synced: {why}");
        }
    }
    for path in world.files.borrow().iter() {
        let _ = std::fs::remove_file(path);
    }
    listener::shut(world);
    tracing::warn!("Redis is now ready to exit, bye bye...");
    std::process::exit(status);
}
