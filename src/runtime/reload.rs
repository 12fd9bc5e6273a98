//! DEBUG RELOAD and DEBUG LOADAOF: the keyspace read anew from disk while the node runs. The loop waits for it.
//!
//! What the log has told is never contradicted: LOADAOF and the plain RELOAD give back what was there. Another data set
//! (NOSAVE, NOFLUSH) begins a history of its own, as a full copy does, so a restart finds it and replicas copy it.

use super::disk::{Appended, Disk, Ground};
use super::recovery::{self, Reading};
use super::world::World;
use super::{allocator, rdb_file};
use crate::base::Offset;
use crate::command::scripting::Policy;
use crate::command::{Kind, Origin, Parts, Reload, Server, Waiter, transfer};
use crate::keyspace::Keyspace;
use crate::rdb::{self, Checksum};
use crate::replication::source;
use crate::replication::source::DropReason;
use crate::session::StreamReader;
use crate::store::Manifest;
use std::path::Path;
use std::rc::Rc;

/// Bytes of the log that are replayed at once.
const LOG_CHUNK_BYTES: usize = 1 << 20;

/// What is said of an RDB file that can't be taken; the log has the reason.
const NO_RDB: &str = "Error trying to load the RDB dump, check server logs.";

/// Does it, and answers who has asked.
pub fn begin(world: &Rc<World>, waiter: Waiter, how: Reload) {
    let result = {
        let mut server = world.server.borrow_mut();
        let mut disk = world.disk_mut();
        match how {
            Reload::Log => from_log(&mut server, &mut disk),
            Reload::File { save: true, flush: true, .. } => {
                disk.want_dump(Ground::Waited, None);
                disk.reload(&mut server)
            }
            Reload::File { save, flush, merge } => from_file(&mut server, &mut disk, save, flush, merge),
        }
    };
    let result = result.map_err(|error| format!("ERR {error}"));
    if result.is_ok() {
        tracing::info!("DB reloaded by DEBUG {}", if how == Reload::Log { "LOADAOF" } else { "RELOAD" });
    }
    world.server.borrow_mut().answer_saved(waiter, result.as_ref().map(|_| ()).map_err(String::as_str));
    world.turn.notify_one();
}

/// As a restart does, in a server of its own: nobody sees what is between the checkpoint and the end.
fn from_log(server: &mut Server, disk: &mut Disk) -> Result<(), String> {
    let Some(mut log) = disk.store.log().map(|log| log.reader()) else { return disk.reload(server) };
    if disk.append(server) != Appended::All {
        return Err("effects are in memory that the log does not have".into());
    }
    disk.give_up(server);
    let current = disk.store.current().cloned();
    let keyspace = match &current {
        Some(manifest) => read_current(disk, manifest, Reading::of(&server.config.settings))?,
        None => Keyspace::new(server.keyspace.databases(), server.keyspace.seed()),
    };
    let mut scratch = Server::new(Parts {
        config: server.config.clone(),
        keyspace,
        stream: recovery::first(server.stream.history().id(), 1),
        run_id: server.run_id,
        fresh: server.fresh,
        wall: server.wall,
        mono: server.mono,
        ticks: server.ticks,
    });
    scratch.keyspace.grow_databases(server.keyspace.databases());
    let functions = current.as_ref().and_then(|manifest| manifest.extra.get(recovery::FUNCTIONS));
    if let Some(payload) = functions {
        scratch.restore_libraries(payload, Policy::Flush, false)?;
    }
    let slot = scratch.connect(Kind::Stream, String::new(), String::new(), -1);
    scratch.clients[slot].db = current.as_ref().map_or(0, |manifest| manifest.db);
    let (mut reader, mut args) = (StreamReader::new(slot, Origin::Log), crate::resp::Args::default());
    let mut at = current.as_ref().map_or(log.range().0, |manifest| manifest.offset);
    loop {
        let bytes = log.read(at, LOG_CHUNK_BYTES).map_err(|error| error.to_string())?;
        if bytes.is_empty() {
            break;
        }
        at = Offset(at.0 + bytes.len() as u64);
        reader.input(&mut scratch, &bytes, &mut args).map_err(|error| error.to_string())?;
    }
    let libraries = scratch.dump_libraries();
    server.restore_libraries(&libraries, Policy::Flush, false)?;
    server.keyspace = scratch.keyspace;
    let own = std::mem::take(&mut server.local_deadlines); // what they are of is still there
    server.all_changed();
    server.local_deadlines = own;
    Ok(())
}

/// The pages of the checkpoint that is current.
fn read_current(disk: &mut Disk, manifest: &Manifest, reading: Reading) -> Result<Keyspace, String> {
    let of_keyspace = bincode::deserialize(&manifest.keyspace).map_err(|error| error.to_string())?;
    let (told, hears) = std::sync::mpsc::sync_channel(1);
    disk.store.checkpoint().visit(Box::new(move |image| {
        let read = image.map_err(|error| error.to_string()).and_then(|image| {
            allocator::for_loop(|| {
                recovery::read_keyspace(&of_keyspace, image.pages(), |space, blob| image.blob(space, blob), reading)
            })
        });
        let _ = told.send(read);
    }));
    hears.recv().map_err(|_| "the storage thread has stopped".to_string())?
}

/// The RDB file in the place of what is there, or added to it.
fn from_file(server: &mut Server, disk: &mut Disk, save: bool, flush: bool, merge: bool) -> Result<(), String> {
    if save {
        disk.want_dump(Ground::Waited, None);
        disk.checkpoint_and_wait(server)?;
    } else if disk.append(server) != Appended::All {
        return Err("effects are in memory that the log does not have".into());
    }
    let settings = server.config.settings.clone();
    let path = Path::new(&settings.dir).join(&settings.dbfilename);
    let no_rdb = |why: String| {
        tracing::warn!("{why}");
        NO_RDB.to_string()
    };
    let read = rdb_file::read(&path, &settings, Some(server.wall), server.switches.checksum, &Reading::of(&settings))
        .map_err(no_rdb)?;
    let mut filled = read.ok_or_else(|| no_rdb(format!("{}: there is no such file", path.display())))?;
    if flush {
        filled.keyspace.grow_databases(server.keyspace.databases());
        server.keyspace = filled.keyspace;
        server.take_libraries(&filled.functions);
    } else {
        if !merge {
            conflict(server, &filled).map_or(Ok(()), |what| Err(no_rdb(what)))?;
        }
        let policy = if merge { Policy::Replace } else { Policy::Append };
        let libraries = rdb::dump_functions(filled.functions.iter().map(Vec::as_slice));
        server.restore_libraries(&libraries, policy, false).map_err(no_rdb)?;
        add(server, &filled.keyspace)?;
    }
    begin_history(server, disk)
}

/// What is both in the file and here.
fn conflict(server: &Server, filled: &rdb_file::Filler) -> Option<String> {
    for (number, db) in filled.keyspace.dbs().enumerate().filter(|(number, _)| *number < server.keyspace.databases()) {
        let there = server.keyspace.db(number);
        if let Some(entry) = db.iter().find(|entry| there.contains(there.key(entry.key()))) {
            let hidden = server.config.settings.hide_user_data_from_log;
            let key = if hidden { "*redacted*".into() } else { entry.key().escape_ascii().to_string() };
            return Some(format!("RDB has duplicated key '{key}' in DB {number}"));
        }
    }
    None
}

/// Adds all of a keyspace to the node's own.
fn add(server: &mut Server, from: &Keyspace) -> Result<(), String> {
    let sizes = transfer::Sizes::of(&server.config.settings);
    server.keyspace.grow_databases(from.databases());
    for (number, db) in from.dbs().enumerate() {
        for entry in db.iter() {
            let value =
                rdb::restore(&transfer::dump(entry.value()), Checksum::Skip).map_err(|error| format!("{error:?}"))?;
            let keyspace = &mut server.keyspace;
            let key = keyspace.key(entry.key());
            keyspace.db_mut(number).remove(key);
            transfer::load(keyspace, sizes, number as u32, key, entry.deadline(), &value)?;
        }
    }
    Ok(())
}

/// What is in memory now is the beginning of a history.
fn begin_history(server: &mut Server, disk: &mut Disk) -> Result<(), String> {
    let (id, at) = (server.fresh_id(), server.stream.end());
    server.stream.begin_anew(id);
    server.step_source(source::Event::DropAll { why: DropReason::Replaced }, "DEBUG RELOAD");
    server.all_changed();
    disk.begin_generation(server, id, at, 0);
    let written = disk.checkpoint_and_wait(server);
    disk.take_adopted();
    disk.release(server);
    tracing::info!("A new history begins at {id}:{at}");
    written
}
