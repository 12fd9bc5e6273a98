//! A start: what the disk holds becomes the server's, while who asks meanwhile hears LOADING.
//!
//! ```text
//! store opened ─ pages read (a thread) ─ log replayed (the loop, in slices) ─ open ─> the node serves
//! ```
//! Until it is over ([`Server::is_starting`]) keyspace and stream are not what they are going to be: empty and leading
//! nowhere at first, then those of the checkpoint. The gate refuses whatever would see or change them, and the [`Disk`] is
//! there only when all is read but a `dump.rdb` that an empty store takes over. A start that is shorter than [`PATIENCE`] is noticed by nobody: the system keeps who knocks
//! waiting, and he is answered by a node that is whole.

use super::disk::Disk;
use super::recovery::{self, Reading};
use super::world::World;
use super::{allocator, clock, gauges, links, rdb_file};
use crate::base::{Offset, ReplId};
use crate::command::{Kind, Loading, LoadingFrom, Origin, Server};
use crate::rdb::Checksum;
use crate::replication::{Sink, SinkConfig};
use crate::session::StreamReader;
use crate::store::{self, Fresh, Opened, Options, Recovery, Store, Wakers};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A start that lasts longer lets clients in, who are told that it is under way.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// How often INFO learns how far the reading is.
const PROGRESS: Duration = Duration::from_millis(50);

/// Reads all of it; behind it the node is what it was when it ended.
///
/// # Errors
/// What the disk holds can't be read, or is not whole: the file, and what is wrong.
pub async fn read(world: &Rc<World>) -> Result<(), String> {
    let settings = {
        let mut server = world.server.borrow_mut();
        world.tick(&mut server);
        server.loading = Some(Loading::begun(server.wall, LoadingFrom::Store));
        server.persistence.last_save = server.wall;
        server.persistence.last_checkpoint = server.wall;
        links::show_configured(&mut server);
        server.config.settings.clone()
    };
    if !settings.appendonly {
        tracing::info!("appendonly is off: after a crash a restart finds the last checkpoint, and resyncs in full.");
    }
    let (for_log, for_disk, for_checkpoint) =
        (world.log_bell.clone(), world.disk_bell.clone(), world.disk_bell.clone());
    let wakers = Wakers {
        log: Arc::new(move || {
            for_log.notify_one();
            for_disk.notify_one();
        }),
        checkpoint: Arc::new(move || for_checkpoint.notify_one()),
    };
    let options = Options { log: settings.appendonly, wakers, ..Options::default() };
    let dir = Path::new(&settings.dir).to_path_buf();
    match off_loop(move || store::open(&dir, options)).await.map_err(|error| error.to_string())? {
        Opened::Fresh(fresh) => begin_first(world, *fresh).await?,
        Opened::Recovered(recovery) => recover(world, *recovery).await?,
    }
    let mut server = world.server.borrow_mut();
    server.loading = None;
    server.dirty = 0;
    server.sink = Sink::new(SinkConfig::default()); // follows for good from now on
    Ok(())
}

/// What may take long, and blocks its thread.
async fn off_loop<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn begin_first(world: &Rc<World>, fresh: Fresh) -> Result<(), String> {
    let id = world.server.borrow().stream.history().id();
    let origin = store::Origin { replid: id, offset: Offset(0), db: 0, genesis: true };
    let store = fresh.start(origin).map_err(|error| error.to_string())?;
    open(world, store, &store::History::new(id), |server| {
        server.stream = recovery::first(id, server.config.settings.repl_backlog_size);
    });
    take_over_dump(world).await
}

async fn recover(world: &Rc<World>, recovery: Recovery) -> Result<(), String> {
    let began = clock::mono();
    let (total, from) = (recovery.bytes(), recovery.origin().offset);
    let settings = world.server.borrow().config.settings.clone();
    let reading = Reading::of(&settings);
    let of_thread = reading.clone();
    let read = off_loop(move || {
        let found = allocator::for_loop(|| recovery::load(&recovery, &settings, super::random_seed(), of_thread));
        (recovery, found)
    });
    let (mut recovery, found) = told(world, total, &reading, read).await;
    let found = found?;
    let slot = {
        let mut server = world.server.borrow_mut();
        server.feed.discard();
        (server.keyspace, server.stream) = (found.keyspace, found.stream);
        let noted = server.config.settings.maxmemory_policy.notes();
        server.keyspace.note_accesses(noted);
        recovery::load_functions(&recovery, &mut server)?;
        recovery::load_local_deadlines(&recovery, &mut server)?;
        let slot = server.connect(Kind::Stream, String::new(), String::new(), -1);
        server.clients[slot].db = server.stream.db();
        slot
    };
    let mut reader = StreamReader::new(slot, Origin::Log);
    let mut replay = recovery::Replay::new(found.record);
    while replay_slice(world, &mut recovery, &mut replay, &mut reader)? {
        reading.done.fetch_add(replay.take_progress(), Relaxed);
        show(world, total, &reading);
        tokio::task::yield_now().await;
    }
    let replayed = replay.over(&recovery);
    if reader.unfinished_bytes() > 0 {
        return Err(format!("the log ends at offset {} inside a unit: it was not written by a node", replayed.end));
    }
    if let Some(cut) = &replayed.cut {
        if !world.server.borrow().config.settings.aof_load_truncated {
            return Err(format!("{cut}; aof-load-truncated is no, so nothing is cut, and the node does not start"));
        }
        tracing::warn!("{cut}");
    }
    let store = recovery.finish(replayed.end).map_err(|error| error.to_string())?;
    open(world, store, &replayed.record, |server| {
        server.disconnect(slot);
        server.stream = recovery::stand(&replayed, server.config.settings.repl_backlog_size);
    });
    let keys = world.server.borrow().keyspace.len();
    tracing::info!(
        "Recovered {keys} keys at {}:{} (checkpoint at {from}, {} bytes of log behind it, {total} bytes in all) in {:.3} seconds",
        replayed.record.replid,
        replayed.end,
        replayed.bytes,
        clock::mono().since(began).0 as f64 / 1000.0
    );
    match keys == 0 && replayed.end == Offset(0) {
        true => take_over_dump(world).await, // nothing was ever written
        false => Ok(()),
    }
}

/// Applies as much of the log as may pass before others are heard; whether there is more.
fn replay_slice(
    world: &World,
    recovery: &mut Recovery,
    replay: &mut recovery::Replay,
    reader: &mut StreamReader,
) -> Result<bool, String> {
    let mut server = world.server.borrow_mut();
    let server = &mut *server;
    let slice = server.config.settings.loading_process_events_interval_bytes.unsigned_abs();
    let mut args = world.args.borrow_mut();
    // Neither are its commands refused, nor counted among the clients'.
    let (loading, stats) = (server.loading.take(), std::mem::take(&mut server.stats));
    let more = replay
        .slice(recovery, slice, |bytes| reader.input(server, bytes, &mut args).map_err(|error| error.to_string()));
    (server.loading, server.stats) = (loading, stats);
    more
}

/// Waits for what a thread reads, and lets INFO know how far it is.
async fn told<R>(world: &World, total: u64, reading: &Reading, read: impl Future<Output = R>) -> R {
    let mut read = std::pin::pin!(read);
    loop {
        show(world, total, reading);
        if let Ok(read) = tokio::time::timeout(PROGRESS, &mut read).await {
            return read;
        }
    }
}

/// What a beat would do: figures for INFO; and a new pace, where one was asked for.
fn show(world: &World, total: u64, reading: &Reading) {
    let mut server = world.server.borrow_mut();
    world.tick(&mut server);
    gauges::sample(&mut server);
    reading.delay.set(server.config.settings.key_load_delay);
    if let Some(loading) = &mut server.loading {
        (loading.bytes_total, loading.bytes_done) = (total, reading.done.load(Relaxed).min(total));
    }
}

/// The store is the node's from now on; `stand` puts the stream where it ends.
fn open(world: &World, store: Store, record: &store::History, stand: impl FnOnce(&mut Server)) {
    let mut server = world.server.borrow_mut();
    server.feed.discard();
    stand(&mut server);
    let disk = Disk::new(store, record.epoch, record.data_generation, world.disk_bell.clone());
    disk.save_delay.set(server.config.settings.rdb_key_save_delay);
    disk.release(&mut server);
    disk.show(&mut server);
    server.persistence.keys_loaded = server.keyspace.dbs().map(|db| db.len()).sum();
    world.open(disk);
}

/// A store in which nothing was ever written takes over what `dbfilename` holds: with a new history, since whoever has
/// the former one from its beginning has none of these keys. Whole and durable before anyone is served, and until then
/// a restart finds the empty store and the file again.
async fn take_over_dump(world: &Rc<World>) -> Result<(), String> {
    let (settings, past) = {
        let server = world.server.borrow();
        let settings = server.config.settings.clone();
        let past = settings.replicaof.is_none().then_some(server.wall);
        (settings, past)
    };
    let backlog = settings.repl_backlog_size;
    let path = Path::new(&settings.dir).join(&settings.dbfilename);
    let began = clock::mono();
    let total = std::fs::metadata(&path).map_or(0, |file| file.len());
    let (reading, name) = (Reading::of(&settings), path.display().to_string());
    let of_thread = reading.clone();
    let read =
        off_loop(move || allocator::for_loop(|| rdb_file::read(&path, &settings, past, Checksum::Check, &of_thread)));
    let filled = told(world, total, &reading, read)
        .await
        .map_err(|error| format!("{error}. Terminating server after rdb file reading failure."))?;
    let Some(filled) = filled else { return Ok(()) };
    let id = super::random_id(ReplId::from_random);
    let (loaded, expired, empty) = (filled.loaded, filled.expired, filled.empty);
    let mut server = world.server.borrow_mut();
    let loading = server.loading.take(); // a checkpoint is of what is whole
    server.keyspace = filled.keyspace;
    server.take_libraries(&filled.functions);
    server.feed.discard();
    server.stream = recovery::first(id, backlog);
    let mut disk = world.disk_mut();
    disk.begin_generation(&mut server, id, Offset(0), 0);
    disk.checkpoint_and_wait(&mut server)?;
    disk.take_adopted();
    server.loading = loading;
    (server.persistence.keys_loaded, server.persistence.keys_expired) = (loaded, expired);
    let took_s = clock::mono().since(began).0 as f64 / 1000.0;
    tracing::info!(
        "{name}: {loaded} keys loaded, {expired} keys expired, empty keys skipped: {empty}, in {took_s:.3} seconds"
    );
    Ok(())
}
