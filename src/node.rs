//! `regent node`: the parts put together, from the configuration to a clean end.
//!
//! Order: configuration, listening sockets (so that a port in use costs nothing), the store with its lock, the
//! checkpoint and the log ([`start`]), replication, then everybody. Whoever comes while a long start is under way hears
//! LOADING.

use crate::base::{ReplId, RunId};
use crate::command::acl::Acl;
use crate::command::{Names, Parts, Save, Server};
use crate::config::{Config, Role, ShutdownFlags};
use crate::keyspace::Keyspace;
use crate::runtime::listener::{Doors, UnixDoor};
use crate::runtime::process::{self, Signals, Stop, daemonize, notify_ready};
use crate::runtime::tls::Tls;
use crate::runtime::{
    self, StopRequest, World, allocator, clock, cron, gauges, launch, links, listener, logging, recovery, start, turn,
};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Runs a node with the arguments behind `regent node`; the exit status.
pub fn run(args: &[String]) -> i32 {
    logging::init();
    launch::run(Role::Node, args, prepare)
}

fn prepare(config: Config) -> Result<i32, String> {
    let settings = &config.settings;
    let access = Names::of(&config.rename_commands).and_then(|names| Ok((names, Acl::of(&config)?)));
    let (names, mut acl) = match access {
        Ok(access) => access,
        Err(error) => {
            eprintln!("{error}");
            return Ok(1);
        }
    };
    if settings.daemonize {
        daemonize()?;
    }
    launch::open_log(settings)?;
    match config.file() {
        Some(file) => tracing::info!("Configuration loaded from {}", file.display()),
        None => tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use regent \
             node /path/to/redis.conf"
        ),
    }
    launch::tell_kept(&config);
    if listener::transports(settings).next().is_none() {
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    acl.read_file(&config)?;
    let tls = launch::tls(settings)?;
    let doors = launch::listen(settings)?;
    let ways = Ways { doors: Some(doors), unix: UnixDoor::open(settings)?, tls };
    let clients = process::open_files_limit(settings.maxclients)?;
    let mut config = config;
    config.settings.maxclients = clients;
    let pid_file = launch::show(&config, launch::NODE_TITLE, "/var/run/redis.pid");
    let unix_socket = ways.unix.iter().map(|_| Path::new(&config.settings.unixsocket));
    let files = pid_file.path().into_iter().chain(unix_socket).map(Path::to_path_buf).collect();
    launch::block_on(serve(config, names, acl, ways, files))
}

/// How clients come.
struct Ways {
    /// Until they are let in.
    doors: Option<Doors>,
    unix: Option<UnixDoor>,
    tls: Tls,
}

/// `files` stand for as long as the process runs.
async fn serve(config: Config, names: Names, acl: Acl, mut ways: Ways, files: Vec<PathBuf>) -> Result<i32, String> {
    allocator::become_loop();
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let port = config.settings.port;
    tracing::info!("Running mode=standalone, port={port}, PID: {}", std::process::id()); // tools wait for these words
    tracing::info!("Server initialized");
    let mut server = new_server(config);
    (server.names, server.acl) = (names, acl);
    server.secret = runtime::random_seed();
    server.allocated = allocator::used;
    let replica = server.config.settings.replicaof.is_some();
    logging::set_role(if replica { b'S' } else { b'M' });
    let world = World::new(server, ways.tls.clone());
    gauges::start(&mut world.server.borrow_mut());
    *world.files.borrow_mut() = files;
    world.server.borrow_mut().scripting.bystanders = Some(Rc::new(runtime::Hearing::new(&world)));
    tokio::task::spawn_local(turn::turns(world.clone()));
    let mut reading = std::pin::pin!(start::read(&world));
    let mut reads = true;
    let mut patience = std::pin::pin!(tokio::time::sleep(start::PATIENCE));
    loop {
        if let Some(status) = world.exit.get() {
            if let Some(mut disk) = world.opened() {
                disk.give_up_files(); // nobody waits for what is being written
            }
            return Ok(status);
        }
        tokio::select! {
            read = &mut reading, if reads => {
                read?;
                reads = false;
                serve_from_now_on(&world, &mut ways)?;
            }
            () = &mut patience, if reads && ways.doors.is_some() => {
                tracing::info!("The store is being read: until it is, clients are answered with LOADING.");
                let_in(&world, &mut ways)?;
            }
            () = world.exit_bell.notified() => {}
            stop = signals.next() => on_signal(&world, stop),
        }
    }
}

/// Opens the doors, unless they are open.
fn let_in(world: &Rc<World>, ways: &mut Ways) -> Result<(), String> {
    let Some(doors) = ways.doors.take() else { return Ok(()) };
    listener::open(world, doors)?;
    ways.unix.iter().try_for_each(|door| listener::open_unix(world, door))
}

/// The node is whole.
fn serve_from_now_on(world: &Rc<World>, ways: &mut Ways) -> Result<(), String> {
    tokio::task::spawn_local(cron::beats(world.clone()));
    tokio::task::spawn_local(cron::serve_disk(world.clone()));
    links::follow_configured(world);
    links::seek_tail(world);
    let_in(world, ways)?;
    for transport in listener::transports(&world.server.borrow().config.settings) {
        tracing::info!("Ready to accept connections {transport}");
    }
    if ways.unix.is_some() {
        let path = &world.server.borrow().config.settings.unixsocket;
        tracing::info!("The server is now ready to accept connections at {path}");
    }
    notify_ready();
    Ok(())
}

fn on_signal(world: &Rc<World>, stop: Stop) {
    let flags = {
        let mut server = world.server.borrow_mut();
        if server.stopping.is_some() && stop == Stop::Interrupt {
            tracing::warn!("You insist... exiting now.");
            world.stop(1);
            return;
        }
        world.tick(&mut server);
        match stop {
            Stop::Interrupt => {
                tracing::warn!("Received SIGINT scheduling shutdown...");
                server.config.settings.shutdown_on_sigint
            }
            Stop::Terminate => {
                tracing::warn!("Received SIGTERM scheduling shutdown...");
                server.config.settings.shutdown_on_sigterm
            }
        }
    };
    let save = match (flags.has(ShutdownFlags::SAVE), flags.has(ShutdownFlags::NOSAVE)) {
        (true, _) => Save::Yes,
        (_, true) => Save::No,
        _ => Save::Default,
    };
    let (now, force) = (flags.has(ShutdownFlags::NOW), flags.has(ShutdownFlags::FORCE));
    runtime::stop_by_signal(world, StopRequest { save, now, force });
}

/// A server that holds nothing yet, and follows nobody.
fn new_server(config: Config) -> Server {
    let settings = &config.settings;
    let keyspace = Keyspace::new(settings.databases.max(1) as usize, runtime::random_seed());
    let stream = recovery::first(runtime::random_id(ReplId::from_random), settings.repl_backlog_size);
    Server::new(Parts {
        config,
        keyspace,
        stream,
        run_id: runtime::random_id(RunId::from_random),
        fresh: runtime::random_id(ReplId::from_random),
        wall: clock::wall(),
        mono: clock::mono(),
        ticks: clock::micros,
    })
}
