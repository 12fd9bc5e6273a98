//! `regent sentinel`: the parts put together, from the configuration to a clean end.

use crate::base::RunId;
use crate::config::{Config, Role};
use crate::consensus::{Group, GroupConfig};
use crate::failover::founding::{Belongs, Saved};
use crate::failover::{self, GroupId, Me};
use crate::monitor::{ANNOUNCE_HOSTNAMES, Identity, Monitor, SENTINEL_USER, peer_pass};
use crate::runtime::listener::Doors;
use crate::runtime::process::{Signals, daemonize, notify_ready};
use crate::runtime::sentinel::peers::{ASKS_MAX, Dialler, Receptionist};
use crate::runtime::sentinel::{Agreement, RegistryMachine, World, address, keeper, now};
use crate::runtime::tls::Tls;
use crate::runtime::{self, launch, listener, logging};
use crate::store::group::GroupStore;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The directory of the group's store, under `dir`.
const STORE: &str = "regent-group";
/// How long the end may take before the process ends anyway.
const END: Duration = Duration::from_secs(3);

/// Runs a sentinel with the arguments behind `regent sentinel`; the exit status.
pub fn run(args: &[String]) -> i32 {
    logging::init();
    logging::set_role(b'X');
    launch::run(Role::Sentinel, &own_options(args), start)
}

/// `--lookup local` is `--sentinel lookup local`, and so for the other directive of our own.
fn own_options(args: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--lookup" | "--group-size" => out.extend(["--sentinel".to_owned(), arg[2..].to_owned()]),
            // `redis-server file --sentinel` says what the process is; it is that already.
            _ => out.push(arg.clone()),
        }
    }
    if out.last().is_some_and(|last| last == "--sentinel") {
        out.pop();
    }
    out
}

fn start(mut config: Config) -> Result<i32, String> {
    if config.file().is_none() {
        return Err(
            "Sentinel needs config file on disk, please pass a config file to read and write: regent sentinel \
                    /path/to/sentinel.conf"
                .to_owned(),
        );
    }
    let settings = &config.settings;
    if settings.daemonize {
        daemonize()?;
    }
    launch::open_log(settings)?;
    launch::tell_kept(&config);
    for (given, why) in [
        (config.sentinel.announce_hostnames, ANNOUNCE_HOSTNAMES),
        (!matches!(&*config.sentinel.sentinel_user, "" | "default"), SENTINEL_USER),
    ] {
        if given {
            tracing::warn!("sentinel.conf: {}", why.trim_start_matches("ERR "));
        }
    }
    let tls = launch::tls(settings)?;
    let listeners = launch::listen(settings)?;
    let _pid_file = launch::show(&config, "regent sentinel", "/var/run/redis-sentinel.pid");
    if config.sentinel.myid.is_none() {
        config.sentinel.myid = Some(runtime::random_id(RunId::from_random));
    }
    launch::block_on(serve(config, listeners, tls))
}

async fn serve(mut config: Config, listeners: Doors, tls: Tls) -> Result<i32, String> {
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    address::resolve_file(&mut config).await?;
    let dir = config.settings.dir.clone();
    let (store, records) = GroupStore::open(Path::new(&dir), STORE).map_err(|error| error.to_string())?;
    let agreement = Agreement::new();
    let (desk, asks) = mpsc::channel(ASKS_MAX);
    let dialler = Dialler::new(peer_pass(&config), tls.clone());
    let pass = dialler.clone();
    let saved: Saved = match store.meta("promise") {
        Some(bytes) => failover::decode(&bytes).map_err(|why| format!("the store {dir}/{STORE} is damaged: {why}"))?,
        None => Saved::default(),
    };
    let belongs = match &saved.group {
        Some(Belongs::Founder(charter)) => Some(charter.group),
        Some(Belongs::Joined(group)) => Some(*group),
        None => None,
    };
    if let Some(group) = belongs {
        agreement.set_group(group);
    }
    let group = Group::start(
        GroupConfig::default(),
        (store, records),
        random_u64(),
        RegistryMachine(agreement.clone()),
        dialler,
        Arc::new(Receptionist(desk)),
    )
    .await
    .map_err(|error| error.to_string())?;
    let me = Me {
        member: group.identity().raft_id(),
        runid: config.sentinel.myid.unwrap_or(RunId::NONE),
        addr: address::own(&config),
        boot: random_u64(),
    };
    tracing::info!("Running mode=sentinel, port={}.", config.settings.port);
    tracing::warn!("Sentinel ID is {}", me.runid);
    let mut out = Vec::new();
    let luck = GroupId(u128::from(random_u64()) << 64 | u128::from(random_u64()));
    let monitor = Monitor::new(config, Identity { me, saved: saved.clone(), luck }, now(), &mut out);
    let (founding, wishes) = mpsc::channel(keeper::FOUNDING_MAX);
    let world = World::new(monitor, group, agreement, founding, pass, tls);
    let ways: Vec<_> = listener::transports(&world.monitor.borrow().config.settings).collect();
    world.perform(out);
    world.start(wishes, asks);
    let plain = listeners.tcp.into_iter().map(|listener| (listener, false));
    for (listener, secure) in plain.chain(listeners.tls.into_iter().map(|listener| (listener, true))) {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
        world.listen(listener, secure);
    }
    // A crash between the promise and Raft's own record: what was decided is taken up again.
    if world.group.identity().group().is_none() {
        match &saved.group {
            Some(Belongs::Founder(charter)) => keeper::start_group(&world, charter).await,
            Some(Belongs::Joined(group)) => keeper::adopt(&world, *group).await,
            None => {}
        }
    }
    for transport in ways {
        tracing::info!("Ready to accept connections {transport}");
    }
    notify_ready();
    tokio::select! {
        () = world.exit.notified() => {}
        _ = signals.next() => tracing::warn!("Received a signal, scheduling shutdown..."),
    }
    let _ = tokio::time::timeout(END, world.group.shutdown()).await;
    tracing::warn!("Sentinel is now ready to exit, bye bye...");
    Ok(0)
}

fn random_u64() -> u64 {
    runtime::random_seed()[0].max(1)
}
