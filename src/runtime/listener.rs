//! Listening sockets, and the way in: protected mode, `maxclients`, keepalive.

use super::socket::Socket;
use super::world::World;
use crate::command::Server;
use crate::command::acl::DEFAULT;
use crate::config::Settings;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as Socket2, TcpKeepalive, Type};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode \
sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same \
host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG \
REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis \
configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started \
the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication \
password for the default user. NOTE: You only need to do one of the above things in order for the server to start \
accepting connections from the outside.\r\n";

/// Connections that a door lets in at a time while the loop is held up.
const ADMITTED_MAX: usize = 1000;

/// TLS handshakes that may be under way at a time.
const HANDSHAKES_MAX: usize = 1000;

/// Binds a port on every address of `bind` (`*` is IPv4, `::*` IPv6, a leading `-` forgives a missing one).
/// The error names the address and the system's reason.
pub fn bind(addresses: &[String], port: u16, backlog: i64) -> Result<Vec<std::net::TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let (optional, plain) = match address.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, address.as_str()),
        };
        let ip = match plain {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" | "::" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            other => match other.parse() {
                Ok(ip) => ip,
                Err(_) => std::net::ToSocketAddrs::to_socket_addrs(&(other, port))
                    .ok()
                    .and_then(|mut all| all.next())
                    .map(|found| found.ip())
                    .ok_or_else(|| {
                        format!("Could not create server TCP listening socket {plain}:{port}: no such address")
                    })?,
            },
        };
        match listen(SocketAddr::new(ip, port), backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                let missing = matches!(
                    error.raw_os_error(),
                    Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)
                );
                if optional && missing {
                    continue;
                }
                let reason = match error.raw_os_error() {
                    Some(libc::EADDRINUSE) => "bind: Address already in use".to_string(),
                    _ => format!("bind: {error}"),
                };
                return Err(format!("Could not create server TCP listening socket {plain}:{port}: {reason}"));
            }
        }
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, backlog: i64) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket2::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.clamp(1, 65535) as i32)?;
    Ok(socket.into())
}

/// The file of a Unix socket, removed with the value.
pub struct UnixDoor {
    pub listener: std::os::unix::net::UnixListener,
    path: String,
}

impl UnixDoor {
    /// Listens on `unixsocket`; none where it is not given. A socket that stands there is taken for one that a killed
    /// process has left, as in Redis; a file of another kind is not touched.
    ///
    /// # Errors
    /// The system's reason, with what failed.
    pub fn open(settings: &Settings) -> Result<Option<UnixDoor>, String> {
        let path = settings.unixsocket.as_str();
        if path.is_empty() {
            return Ok(None);
        }
        let failed = |what: &str, why: std::io::Error| format!("Failed opening Unix socket: {what}: {why}");
        if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
            std::fs::remove_file(path).map_err(|why| failed("unlink", why))?;
        }
        let socket = Socket2::new(Domain::UNIX, Type::STREAM, None).map_err(|why| failed("creating socket", why))?;
        let address = SockAddr::unix(path).map_err(|why| failed("bind", why))?;
        socket.bind(&address).map_err(|why| failed("bind", why))?;
        let door = UnixDoor { listener: socket.into(), path: path.to_owned() };
        if settings.unixsocketperm != 0 {
            let mode = std::fs::Permissions::from_mode(settings.unixsocketperm as u32);
            std::fs::set_permissions(path, mode).map_err(|why| failed("chmod", why))?;
        }
        if !settings.unixsocketgroup.is_empty() {
            let name = &settings.unixsocketgroup;
            let group = nix::unistd::Group::from_name(name).ok().flatten();
            let group = group.ok_or_else(|| format!("Failed opening Unix socket: no group is named '{name}'"))?;
            std::os::unix::fs::chown(path, None, Some(group.gid.as_raw())).map_err(|why| failed("chown", why))?;
        }
        // Nobody gets in before the file has its mode.
        let socket = SockRef::from(&door.listener);
        socket.listen(settings.tcp_backlog.clamp(1, 65535) as i32).map_err(|why| failed("listen", why))?;
        socket.set_nonblocking(true).map_err(|why| failed("fcntl", why))?;
        Ok(Some(door))
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        tracing::info!("Removing the unix socket file.");
        if let Err(why) = std::fs::remove_file(Path::new(&self.path)) {
            tracing::warn!("Error removing the unix socket file {}: {why}", self.path);
        }
    }
}

/// The ways in that are open, by their names in the log.
pub fn transports(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let ways =
        [(settings.port != 0, "tcp"), (!settings.unixsocket.is_empty(), "unix"), (settings.tls_port != 0, "tls")];
    ways.into_iter().filter(|(open, _)| *open).map(|(_, name)| name)
}

/// Lets clients in by the Unix socket.
pub fn open_unix(world: &Rc<World>, door: &UnixDoor) -> Result<(), String> {
    let listener = door.listener.try_clone().and_then(UnixListener::from_std).map_err(|error| error.to_string())?;
    let listener = Rc::new(listener);
    *world.unix_door.borrow_mut() = Some((listener.clone(), format!("{}:0", door.path)));
    let (world, name) = (world.clone(), format!("{}:0", door.path));
    tokio::task::spawn_local(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let mut server = world.server.borrow_mut();
                    world.tick(&mut server);
                    enter_unix(&world, &mut server, stream, &name);
                }
                Err(error) => not_accepted(&error).await,
            }
        }
    });
    Ok(())
}

/// Lets clients in by these sockets.
pub fn open(world: &Rc<World>, doors: Doors) -> Result<(), String> {
    let plain = doors.tcp.into_iter().map(|listener| (listener, false));
    for (listener, secure) in plain.chain(doors.tls.into_iter().map(|listener| (listener, true))) {
        let listener = Rc::new(TcpListener::from_std(listener).map_err(|error| error.to_string())?);
        let task = tokio::task::spawn_local(accept(world.clone(), listener.clone(), secure));
        world.doors.borrow_mut().push(Door { task, listener, secure });
    }
    Ok(())
}

/// A socket that is listened on, and the task that accepts who comes.
pub struct Door {
    task: JoinHandle<()>,
    listener: Rc<TcpListener>,
    secure: bool,
}

/// Lets in who has come by plain TCP or the Unix socket, for a loop that is held up.
pub fn admit(world: &Rc<World>, server: &mut Server) {
    if let Some((listener, name)) = &*world.unix_door.borrow() {
        for _ in 0..ADMITTED_MAX {
            let Ok((stream, _)) = SockRef::from(&**listener).accept() else { break };
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream.into())) {
                enter_unix(world, server, stream, name);
            }
        }
    }
    for door in world.doors.borrow().iter().filter(|door| !door.secure) {
        for _ in 0..ADMITTED_MAX {
            let Ok((stream, _)) = SockRef::from(&*door.listener).accept() else { break };
            let ready = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream.into()));
            if let Ok(stream) = ready
                && let Ok(peer) = stream.peer_addr()
            {
                enter_plain(world, server, stream, peer);
            }
        }
    }
}

/// Nobody is let in any more: the process is about to end, and who comes late is to see that at once.
pub fn shut(world: &World) {
    for door in world.doors.borrow().iter() {
        let _ = SockRef::from(&*door.listener).shutdown(std::net::Shutdown::Both);
    }
}

/// The sockets of `port` and of `tls-port`.
#[derive(Default)]
pub struct Doors {
    pub tcp: Vec<std::net::TcpListener>,
    pub tls: Vec<std::net::TcpListener>,
}

impl Doors {
    /// Binds both, where they are given.
    ///
    /// # Errors
    /// The directive, and what was wrong.
    pub fn bind(settings: &Settings) -> Result<Doors, (&'static str, String)> {
        let ports = [("port", settings.port), ("tls-port", settings.tls_port)];
        let [tcp, tls] = ports.map(|(name, port)| match port {
            0 => Ok(Vec::new()),
            port => bind(&settings.bind, port, settings.tcp_backlog).map_err(|why| (name, why)),
        });
        Ok(Doors { tcp: tcp?, tls: tls? })
    }
}

/// `port` or `bind` have changed: the sockets are closed, and others opened in their place.
pub async fn reopen(world: &Rc<World>) -> Result<(), (&'static str, String)> {
    let doors = std::mem::take(&mut *world.doors.borrow_mut());
    for door in doors {
        door.task.abort();
        let _ = door.task.await; // its socket is closed then, with the door
    }
    let listeners = {
        let mut server = world.server.borrow_mut();
        let listeners = Doors::bind(&server.config.settings)?;
        server.process.tcp_port = server.config.settings.port;
        listeners
    };
    open(world, listeners).map_err(|why| ("bind", why))
}

/// Accepts connections for as long as the node runs.
async fn accept(world: Rc<World>, listener: Rc<TcpListener>, secure: bool) {
    let hands = Rc::new(Cell::new(0));
    let mut came = 0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if came >= most_at_once(&world, secure) {
                    came = 0;
                    tokio::task::yield_now().await; // those who are connected have their turn
                }
                came += 1;
                let mut server = world.server.borrow_mut();
                world.tick(&mut server);
                if !secure {
                    enter_plain(&world, &mut server, stream, peer);
                } else if hands.get() >= HANDSHAKES_MAX {
                    tracing::warn!("Too many TLS handshakes, {peer} is let go");
                } else {
                    prepare(&stream, server.config.settings.tcp_keepalive);
                    tokio::task::spawn_local(shake(world.clone(), stream, peer, hands.clone()));
                }
            }
            Err(error) => not_accepted(&error).await,
        }
    }
}

/// Connections that are let in before others are served.
fn most_at_once(world: &World, secure: bool) -> i64 {
    let settings = &world.server.borrow().config.settings;
    match secure {
        true => settings.max_new_tls_connections_per_cycle,
        false => settings.max_new_connections_per_cycle,
    }
}

/// One who came by the TLS port.
async fn shake(world: Rc<World>, stream: TcpStream, peer: SocketAddr, hands: Rc<Cell<usize>>) {
    hands.set(hands.get() + 1);
    let local = local_name(&stream);
    match world.tls.accept(stream).await {
        Ok(socket) => {
            let mut server = world.server.borrow_mut();
            world.tick(&mut server);
            enter(&world, &mut server, socket, [peer.to_string(), local], is_loopback(peer.ip()));
        }
        Err(why) => tracing::warn!("Error accepting a client connection: {why} (addr={peer} laddr={local})"),
    }
    hands.set(hands.get() - 1);
}

async fn not_accepted(error: &std::io::Error) {
    tracing::warn!("Accepting client connection: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// One who came by plain TCP.
fn enter_plain(world: &Rc<World>, server: &mut Server, stream: TcpStream, peer: SocketAddr) {
    prepare(&stream, server.config.settings.tcp_keepalive);
    let names = [peer.to_string(), local_name(&stream)];
    enter(world, server, Socket::Tcp(stream), names, is_loopback(peer.ip()));
}

/// One who came by the Unix socket.
fn enter_unix(world: &Rc<World>, server: &mut Server, stream: UnixStream, name: &str) {
    enter(world, server, Socket::Unix(stream), [name.to_owned(), name.to_owned()], true);
}

fn local_name(stream: &TcpStream) -> String {
    stream.local_addr().map(|address| address.to_string()).unwrap_or_default()
}

/// One more client, its address and ours, unless it is refused; `near` is one of this machine.
fn enter(world: &Rc<World>, server: &mut Server, stream: Socket, [addr, laddr]: [String; 2], near: bool) {
    let settings = &server.config.settings;
    let open = !settings.protected_mode || !server.acl.user(DEFAULT).takes_any_password() || near;
    let full = server.clients.len() as i64 >= settings.maxclients;
    // As in Redis: the limit is looked at first.
    let refusal = match (full, open) {
        (true, _) => Some("-ERR max number of clients reached\r\n"),
        (false, false) => Some(PROTECTED),
        (false, true) => None,
    };
    server.stats.connections_rejected += u64::from(refusal.is_some());
    if let Some(text) = refusal {
        let mut stream = stream;
        let _ = stream.try_write(text.as_bytes()); // a fresh socket has room
        return;
    }
    let connection = world.adopt(server, stream, addr, laddr);
    tokio::task::spawn_local(connection.serve(world.clone()));
}

/// Connects, from `bind-source-addr` where that is given. One that this machine does not have is left out, as in Redis.
///
/// # Errors
/// The system's reason.
pub async fn connect(host: &str, port: u16, source: &str) -> std::io::Result<TcpStream> {
    let Ok(source) = source.parse::<IpAddr>() else { return TcpStream::connect((host, port)).await };
    let mut failed = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if address.is_ipv4() == source.is_ipv4() {
            let _ = socket.bind(SocketAddr::new(source, 0));
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(why) => failed = why,
        }
    }
    Err(failed)
}

/// What every socket of ours gets: no delay, and keepalive every `keepalive_s` seconds (0: none).
pub fn prepare(stream: &TcpStream, keepalive_s: i64) {
    let _ = stream.set_nodelay(true);
    if let Ok(seconds @ 1..) = u64::try_from(keepalive_s) {
        let probe = TcpKeepalive::new()
            .with_time(Duration::from_secs(seconds))
            .with_interval(Duration::from_secs((seconds / 3).max(1)))
            .with_retries(3);
        let _ = SockRef::from(stream).set_tcp_keepalive(&probe);
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    }
}
