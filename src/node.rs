//! `regent node`: the parts put together, from the configuration to a clean end.
//!
//! Order: configuration, listening sockets (so that a port in use costs nothing), the store with its lock, the
//! checkpoint and the log, then the loop. Clients are accepted from the moment on that the state is whole.

use crate::base::{ReplId, RunId};
use crate::command::acl::Acl;
use crate::command::{Kind, Names, Origin, Parts, Save, Server};
use crate::config::{Config, Role, ShutdownFlags};
use crate::keyspace::Keyspace;
use crate::rdb::Checksum;
use crate::runtime::listener::{Doors, UnixDoor};
use crate::runtime::process::{self, Signals, Stop, daemonize, notify_ready};
use crate::runtime::tls::Tls;
use crate::runtime::{
    self, Bells, StopRequest, World, allocator, clock, cron, disk, gauges, launch, links, listener, logging, rdb_file,
    recovery, turn,
};
use crate::session::StreamReader;
use crate::store::{self, Opened, Options, Store, Wakers};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Runs a node with the arguments behind `regent node`; the exit status.
pub fn run(args: &[String]) -> i32 {
    logging::init();
    launch::run(Role::Node, args, start)
}

fn start(config: Config) -> Result<i32, String> {
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
    let ways = Ways { doors, unix: UnixDoor::open(settings)?, tls };
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
    doors: Doors,
    unix: Option<UnixDoor>,
    tls: Tls,
}

/// `files` stand for as long as the process runs.
async fn serve(config: Config, names: Names, acl: Acl, ways: Ways, files: Vec<PathBuf>) -> Result<i32, String> {
    allocator::become_loop();
    let Ways { doors, unix, tls } = ways;
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let port = config.settings.port;
    tracing::info!("Running mode=standalone, port={port}, PID: {}", std::process::id()); // tools wait for these words
    tracing::info!("Server initialized");
    let bells = Bells::default();
    let startup = allocator::used();
    let (mut server, disk) = recover(config, &bells)?;
    (server.names, server.acl) = (names, acl);
    server.secret = runtime::random_seed();
    server.allocated = allocator::used;
    gauges::start(&mut server, startup);
    let replica = server.config.settings.replicaof.is_some();
    logging::set_role(if replica { b'S' } else { b'M' });
    let world = World::new(server, disk, bells, tls);
    *world.files.borrow_mut() = files;
    world.server.borrow_mut().scripting.bystanders = Some(Rc::new(runtime::Hearing::new(&world)));
    tokio::task::spawn_local(turn::turns(world.clone()));
    tokio::task::spawn_local(cron::beats(world.clone()));
    tokio::task::spawn_local(cron::serve_disk(world.clone()));
    listener::open(&world, doors)?;
    links::follow_configured(&world);
    links::seek_tail(&world);
    if let Some(door) = &unix {
        listener::open_unix(&world, door)?;
    }
    for transport in listener::transports(&world.server.borrow().config.settings) {
        tracing::info!("Ready to accept connections {transport}");
    }
    if unix.is_some() {
        let path = &world.server.borrow().config.settings.unixsocket;
        tracing::info!("The server is now ready to accept connections at {path}");
    }
    notify_ready();
    loop {
        if let Some(status) = world.exit.get() {
            world.disk.borrow_mut().give_up_files(); // nobody waits for what is being written
            return Ok(status);
        }
        tokio::select! {
            () = world.exit_bell.notified() => {}
            stop = signals.next() => on_signal(&world, stop),
        }
    }
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

/// What the disk holds, as a server that stands where the node ended.
fn recover(config: Config, bells: &Bells) -> Result<(Server, disk::Disk), String> {
    let settings = &config.settings;
    let (both, for_checkpoint) = (bells.clone(), bells.disk.clone());
    let wakers = Wakers {
        log: Arc::new(move || {
            both.log.notify_one();
            both.disk.notify_one();
        }),
        checkpoint: Arc::new(move || for_checkpoint.notify_one()),
    };
    let options = Options { log: settings.appendonly, wakers, ..Options::default() };
    let databases = settings.databases.max(1) as usize;
    let backlog = settings.repl_backlog_size;
    if !settings.appendonly {
        tracing::info!("appendonly is off: after a crash a restart finds the last checkpoint, and resyncs in full.");
    }
    let dir = Path::new(&settings.dir).to_path_buf();
    match allocator::for_store(|| store::open(&dir, options)).map_err(|error| error.to_string())? {
        Opened::Fresh(fresh) => {
            let id = runtime::random_id(ReplId::from_random);
            let origin = store::Origin { replid: id, offset: crate::base::Offset(0), db: 0, genesis: true };
            let store = fresh.start(origin).map_err(|error| error.to_string())?;
            let keyspace = Keyspace::new(databases, runtime::random_seed());
            let server = new_server(config, keyspace, recovery::first(id, backlog));
            let (mut server, mut disk) = finish(server, store, &store::History::new(id), bells);
            take_over_dump(&mut server, &mut disk)?;
            Ok((server, disk))
        }
        Opened::Recovered(mut recovery) => {
            let began = clock::mono();
            let bytes = recovery.bytes();
            let found = recovery::load(&recovery, &config.settings, runtime::random_seed())?;
            let from = recovery.origin().offset;
            let mut server = new_server(config, found.keyspace, found.stream);
            recovery::load_functions(&recovery, &mut server)?;
            recovery::load_local_deadlines(&recovery, &mut server)?;
            let slot = server.connect(Kind::Stream, String::new(), String::new(), -1);
            server.clients[slot].db = server.stream.db();
            let mut reader = StreamReader::new(slot, Origin::Log);
            let mut args = crate::resp::Args::default();
            let replayed = recovery::replay(&mut recovery, found.record, |bytes| {
                reader.input(&mut server, bytes, &mut args).map_err(|error| error.to_string())
            })?;
            if reader.unfinished_bytes() > 0 {
                return Err(format!(
                    "the log ends at offset {} inside a unit: it was not written by a node",
                    replayed.end
                ));
            }
            server.disconnect(slot);
            server.stream = recovery::stand(&replayed, backlog);
            if let Some(cut) = &replayed.cut {
                if !server.config.settings.aof_load_truncated {
                    return Err(format!(
                        "{cut}; aof-load-truncated is no, so nothing is cut, and the node does not start"
                    ));
                }
                tracing::warn!("{cut}");
            }
            tracing::info!(
                "Recovered {} keys at {}:{} (checkpoint at {from}, {} bytes of log behind it, {bytes} bytes in all) in {:.3} seconds",
                server.keyspace.len(),
                replayed.record.replid,
                replayed.end,
                replayed.bytes,
                clock::mono().since(began).0 as f64 / 1000.0
            );
            let store = recovery.finish(replayed.end).map_err(|error| error.to_string())?;
            let (mut server, mut disk) = finish(server, store, &replayed.record, bells);
            if server.keyspace.is_empty() && replayed.end == crate::base::Offset(0) {
                take_over_dump(&mut server, &mut disk)?; // nothing was ever written
            }
            Ok((server, disk))
        }
    }
}

/// A store in which nothing was ever written takes over what `dbfilename` holds: with a new history, since whoever has
/// the former one from its beginning has none of these keys. Whole and durable before anyone is served, and until then
/// a restart finds the empty store and the file again.
fn take_over_dump(server: &mut Server, disk: &mut disk::Disk) -> Result<(), String> {
    let settings = server.config.settings.clone();
    let path = Path::new(&settings.dir).join(&settings.dbfilename);
    let past = settings.replicaof.is_none().then_some(server.wall);
    let began = clock::mono();
    let filled = rdb_file::read(&path, &settings, past, Checksum::Check)
        .map_err(|error| format!("{error}. Terminating server after rdb file reading failure."))?;
    let Some(filled) = filled else { return Ok(()) };
    let id = runtime::random_id(ReplId::from_random);
    let (loaded, expired, empty) = (filled.loaded, filled.expired, filled.empty);
    server.keyspace = filled.keyspace;
    server.take_libraries(&filled.functions);
    server.stream = recovery::first(id, settings.repl_backlog_size);
    disk.begin_generation(server, id, crate::base::Offset(0), 0);
    disk.checkpoint_and_wait(server)?;
    disk.take_adopted();
    (server.persistence.keys_loaded, server.persistence.keys_expired) = (loaded, expired);
    let took_s = clock::mono().since(began).0 as f64 / 1000.0;
    let path = path.display();
    tracing::info!(
        "{path}: {loaded} keys loaded, {expired} keys expired, empty keys skipped: {empty}, in {took_s:.3} seconds"
    );
    Ok(())
}

fn new_server(config: Config, keyspace: Keyspace, stream: crate::replication::Stream) -> Server {
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

fn finish(mut server: Server, store: Store, record: &store::History, bells: &Bells) -> (Server, disk::Disk) {
    let disk = disk::Disk::new(store, record.epoch, record.data_generation, bells.disk.clone());
    disk.save_delay.set(server.config.settings.rdb_key_save_delay);
    disk.release(&mut server);
    server.persistence.keys_loaded = server.keyspace.dbs().map(|db| db.len()).sum();
    server.dirty = 0;
    server.stats = crate::command::Stats::default();
    (server, disk)
}
