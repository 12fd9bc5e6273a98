//! What the tasks of a node share: the state, the disk, the connections, and the bell that ends a turn.
//!
//! All of it lives on one thread; nothing is borrowed across an await.

use super::clock;
use super::connection::{Connection, Sent};
use super::disk::Disk;
use super::freeing::Freeing;
use super::links::Links;
use super::listener::Door;
use super::migrate::Kept;
use super::socket::Socket;
use super::tls::Tls;
use crate::base::limits::{READ_BUFFER_BYTES, READ_SHARE_BYTES, READ_SHARE_BYTES_MIN, READ_SHARE_US};
use crate::command::{Closing, Kind, Server, Slot};
use crate::resp;
use crate::session;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;
use tokio::net::UnixListener;
use tokio::sync::Notify;

/// See the module.
pub struct World {
    pub server: RefCell<Server>,
    /// None until a start has read the store.
    disk: RefCell<Option<Disk>>,
    pub links: RefCell<Links>,
    /// Connections of MIGRATE.
    pub kept: RefCell<Kept>,
    pub read_buffer: RefCell<Box<[u8]>>,
    /// How much of small requests a client may bring at once, bytes; goes with how long they take.
    read_share: Cell<usize>,
    /// A checkpoint was handing pages over when it was last asked for.
    hands_over: Cell<bool>,
    pub args: RefCell<resp::Args>,
    pub freeing: Freeing,
    /// Rung by whoever executed something; the turn ends behind all tasks that are ready.
    pub turn: Notify,
    /// Rung when the store's threads have something to tell, for the task that serves them.
    pub disk_bell: std::sync::Arc<Notify>,
    /// Rung when the log can go on or is synced, for the turn that waits for it.
    pub log_bell: std::sync::Arc<Notify>,
    /// Rung when a deadline may have moved (a blocked client, a replication link).
    pub clock_bell: Notify,
    /// Set once: the process ends with this status.
    pub exit: Cell<Option<i32>>,
    pub exit_bell: Notify,
    connections: RefCell<Vec<Option<Rc<Connection>>>>,
    /// What TLS connections are made with.
    pub tls: Tls,
    /// Where connections are accepted.
    pub doors: RefCell<Vec<Door>>,
    /// The same for the Unix socket, with what its clients are called.
    pub unix_door: RefCell<Option<(Rc<UnixListener>, String)>>,
    /// Files that stand for as long as the process runs (pid file, Unix socket): where it ends in the middle of
    /// something, nobody else removes them.
    pub files: RefCell<Vec<PathBuf>>,
}

impl World {
    pub fn new(server: Server, tls: Tls) -> Rc<Self> {
        Rc::new(World {
            server: RefCell::new(server),
            disk: RefCell::new(None),
            links: RefCell::new(Links::default()),
            kept: RefCell::default(),
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            read_share: Cell::new(READ_SHARE_BYTES),
            hands_over: Cell::new(false),
            args: RefCell::new(resp::Args::default()),
            freeing: Freeing::start(),
            turn: Notify::new(),
            disk_bell: std::sync::Arc::default(),
            log_bell: std::sync::Arc::default(),
            clock_bell: Notify::new(),
            exit: Cell::new(None),
            exit_bell: Notify::new(),
            connections: RefCell::new(Vec::new()),
            tls,
            doors: RefCell::new(Vec::new()),
            unix_door: RefCell::new(None),
            files: RefCell::new(Vec::new()),
        })
    }

    // ------------------------------------------------------------------ the store

    /// The store has been read.
    pub fn open(&self, disk: Disk) {
        *self.disk.borrow_mut() = Some(disk);
    }

    /// The store, for what begins when it has been read, or is refused until then.
    pub fn disk(&self) -> Ref<'_, Disk> {
        Ref::map(self.disk.borrow(), |disk| disk.as_ref().expect("the start is over"))
    }

    /// The same, to be changed.
    pub fn disk_mut(&self) -> RefMut<'_, Disk> {
        RefMut::map(self.disk.borrow_mut(), |disk| disk.as_mut().expect("the start is over"))
    }

    /// The store, for what also happens while it is read.
    pub fn opened(&self) -> Option<RefMut<'_, Disk>> {
        RefMut::filter_map(self.disk.borrow_mut(), Option::as_mut).ok()
    }

    /// The store, unless somebody further up is at it.
    pub fn try_disk(&self) -> Option<RefMut<'_, Disk>> {
        RefMut::filter_map(self.disk.try_borrow_mut().ok()?, Option::as_mut).ok()
    }

    // ------------------------------------------------------------------ time

    /// Writes the time into the state; every task does so before it executes anything.
    pub fn tick(&self, server: &mut Server) {
        server.wall = clock::wall();
        server.mono = clock::mono();
        server.last_tick = clock::micros();
    }

    /// How much a client may bring of small requests. Where a checkpoint has begun they take long from now on, so it is
    /// little at first.
    pub fn read_share(&self) -> usize {
        let hands_over = self.disk.borrow().as_ref().is_some_and(Disk::hands_over);
        let before = self.hands_over.replace(hands_over);
        if hands_over && !before {
            self.read_share.set(READ_SHARE_BYTES_MIN);
        }
        self.read_share.get()
    }

    /// A client's whole share took this long: the next one's is less, or more.
    pub fn pace(&self, took_us: u64) {
        let share = self.read_share.get();
        let next = match took_us {
            _ if took_us > READ_SHARE_US => share / 2,
            _ if took_us < READ_SHARE_US / 4 => share * 2,
            _ => share,
        };
        self.read_share.set(next.clamp(READ_SHARE_BYTES_MIN, READ_SHARE_BYTES));
    }

    /// The process is to end.
    pub fn stop(&self, status: i32) {
        if self.exit.get().is_none() {
            self.exit.set(Some(status));
        }
        self.exit_bell.notify_waiters();
        self.exit_bell.notify_one();
    }

    // ------------------------------------------------------------------ connections

    /// Takes a new connection in; its task is to be started by the caller.
    pub fn adopt(&self, server: &mut Server, stream: Socket, addr: String, laddr: String) -> Rc<Connection> {
        let fd = stream.fd();
        let slot = server.connect(Kind::Normal, addr, laddr, fd);
        server.clients[slot].unix_socket = matches!(stream, Socket::Unix(_));
        server.stats.connections += 1;
        let connection = Rc::new(Connection::new(slot, stream));
        let mut connections = self.connections.borrow_mut();
        if connections.len() <= slot {
            connections.resize_with(slot + 1, || None);
        }
        connections[slot] = Some(connection.clone());
        connection
    }

    /// The connection of a client, if it has one.
    pub fn connection(&self, slot: Slot) -> Option<Rc<Connection>> {
        self.connections.borrow().get(slot).cloned().flatten()
    }

    /// All that there are.
    pub fn all_connections(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().iter().flatten().cloned().collect()
    }

    /// The connection is over: nothing names it any more.
    pub fn forget(&self, connection: &Connection) {
        let slot = connection.slot;
        self.connections.borrow_mut()[slot] = None;
        let mut server = self.server.borrow_mut();
        let id = server.clients.get(slot).map(|client| (client.kind, client.id));
        self.tick(&mut server);
        if let Some((Kind::Replica, id)) = id {
            self.links.borrow_mut().gone(&mut server, id);
        }
        server.disconnect(slot);
        self.turn.notify_one();
    }

    /// Sends what may be sent of a client's output, and ends the connection where that was the last of it.
    pub fn send(&self, connection: &Connection) {
        let mut server = self.server.borrow_mut();
        let server = &mut *server;
        let Some(client) = server.clients.get_mut(connection.slot) else { return };
        let mut sent = Sent::All;
        if client.may_send() {
            client.reply.needs(client.waiting_bytes());
            let bytes = client.give(|bytes| {
                let (count, how) = connection.send(bytes);
                sent = how;
                count
            });
            server.stats.net_out += bytes as u64;
            client.bytes_out += bytes as u64;
            server.stats.writes += 1;
            client.active = server.mono;
        }
        if server.counts_clients() {
            server.recount(connection.slot);
        }
        let Some(client) = server.clients.get_mut(connection.slot) else { return };
        match sent {
            Sent::Broken => connection.end(),
            Sent::Blocked => {}
            Sent::All if client.closing.is_some() && !client.has_output() => connection.end(),
            Sent::All if client.kind == Kind::Replica && !client.has_output() => {
                let id = client.id;
                self.links.borrow_mut().send(server, connection, id);
                if !server.links.source.is_empty() {
                    self.turn.notify_one(); // which does what the core wants next
                }
            }
            Sent::All => {}
        }
    }

    /// A client's block was lifted: what it has sent meanwhile is executed.
    pub fn resume(&self, slot: Slot) {
        let mut server = self.server.borrow_mut();
        self.tick(&mut server);
        session::input(&mut server, slot, &[], &mut self.args.borrow_mut());
        drop(server);
        self.turn.notify_one();
    }

    /// Ends a client's connection now, or behind its replies.
    pub fn close(&self, slot: Slot) {
        let Some(connection) = self.connection(slot) else { return };
        let mut server = self.server.borrow_mut();
        let Some(client) = server.clients.get_mut(slot) else { return };
        if client.closing == Some(Closing::Now) || !client.has_output() {
            connection.end();
        } else {
            server.touch(slot);
            self.turn.notify_one();
        }
    }
}
