//! RDB files: a checkpoint's image written as one, and one read into a keyspace.
//!
//! The storage thread writes (full copies for replicas, `dump.rdb` for SAVE, BGSAVE and save points); the loop never
//! does. `dump.rdb` appears whole or not at all: it is written beside its place, synced, and renamed over the old one.
//! It is a backup, for Redis and for a node with an empty store; a restart of this node never needs it.

use super::clock;
use super::links::contents::Contents;
use super::recovery::Reading;
use crate::base::{Millis, Offset, REDIS_VERSION, ReplId};
use crate::command::transfer::{self, Sizes};
use crate::config::{MaxmemoryPolicy, Settings};
use crate::keyspace::{Frequencies, Keyspace, Manifest, Noted};
use crate::rdb::{self, Checksum, Encoder, Item, Origin};
use crate::store::Image;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

/// Bytes that are gathered before they are written to the file, and read from it at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a file holds in front of the keys.
#[derive(Clone)]
pub struct Facts {
    pub id: ReplId,
    pub at: Offset,
    pub db: u32,
    pub wall: Millis,
    pub used: u64,
    /// The texts of libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// What is told of keys' uses.
    pub noted: Noted,
    /// How counts of uses fall until they are written.
    pub frequencies: Frequencies,
}

/// How it is written.
#[derive(Clone, Default)]
pub struct Form {
    pub compress: bool,
    /// Without it the checksum is zero, which tells readers to look at none.
    pub checksum: bool,
    pub delay: KeyDelay,
    /// Set when nobody wants the file any more.
    pub given_up: Arc<AtomicBool>,
}

/// A pause at each key, for tests: microseconds, or (negative) keys for a microsecond. Copies share the setting: a new one
/// reaches files that are being written.
#[derive(Clone, Default)]
pub struct KeyDelay {
    setting: Arc<AtomicI64>,
    keys: i64,
}

/// The longest that a pause goes on before it looks at its setting again.
const PAUSE_MAX: Duration = Duration::from_millis(10);

impl KeyDelay {
    /// Of `rdb-key-save-delay` or `key-load-delay`.
    pub fn of(setting: i64) -> KeyDelay {
        KeyDelay { setting: Arc::new(AtomicI64::new(setting)), keys: 0 }
    }

    /// The directive has a new value.
    pub fn set(&self, setting: i64) {
        self.setting.store(setting, Relaxed);
    }

    /// These keys have passed.
    pub fn pass_all(&mut self, keys: u64) {
        let given_up = AtomicBool::new(false);
        (0..keys).for_each(|_| self.pass(&given_up));
    }

    /// A key has passed; the pause ends early where the setting changes, or nobody wants the file.
    fn pass(&mut self, given_up: &AtomicBool) {
        let setting = self.setting.load(Relaxed);
        if setting == 0 {
            return;
        }
        self.keys += 1;
        let micros = match setting {
            micros @ 1.. => micros as u64,
            keys if self.keys < keys.saturating_neg() => return,
            _ => 1,
        };
        self.keys = 0;
        let mut left = Duration::from_micros(micros);
        while !left.is_zero() && self.setting.load(Relaxed) == setting && !given_up.load(Relaxed) {
            let share = left.min(PAUSE_MAX);
            #[expect(clippy::disallowed_methods, reason = "these directives are there to make a save or a load last")]
            std::thread::sleep(share);
            left -= share;
        }
    }
}

impl Form {
    /// As the configuration says.
    pub fn of(settings: &Settings, delay: KeyDelay) -> Form {
        Form { compress: settings.rdbcompression, checksum: settings.rdbchecksum, delay, given_up: Arc::default() }
    }
}

/// Writes an image; the length of the file. `path` is its name in errors.
///
/// # Errors
/// Of the disk, or of the image.
pub fn fill(
    file: &mut File,
    path: &Path,
    facts: &Facts,
    form: &Form,
    manifest: &Manifest,
    image: &Image<'_>,
) -> Result<u64, String> {
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let (mut out, mut length) = (Vec::with_capacity(2 * CHUNK_BYTES), 0);
    let mut encoder = Encoder::new().compress(form.compress).checksum(form.checksum);
    let stream = Some((facts.id, facts.at, facts.db));
    let origin =
        Origin { redis_version: REDIS_VERSION, created: facts.wall, used_memory: facts.used, stream, aof_base: false };
    encoder.header(&origin, &mut out);
    facts.functions.iter().for_each(|text| encoder.function(text, &mut out));
    let mut delay = form.delay.clone();
    let mut sink = |out: &mut Vec<u8>| {
        delay.pass(&form.given_up);
        if form.given_up.load(Relaxed) {
            return Err("nobody wants it any more".into());
        }
        if out.len() >= CHUNK_BYTES {
            length += out.len() as u64;
            file.write_all(out).map_err(text)?;
            out.clear();
        }
        Ok(())
    };
    Contents { image, facts, encoder: &mut encoder, out: &mut out, sink: &mut sink }.write(manifest)?;
    encoder.end(&mut out);
    length += out.len() as u64;
    file.write_all(&out).map_err(text)?;
    Ok(length)
}

/// Where a dump is to be written, and how.
#[derive(Clone)]
pub struct Dump {
    pub dir: PathBuf,
    pub name: String,
    pub facts: Facts,
    pub form: Form,
}

impl Dump {
    /// Where it stands until it is whole.
    pub fn unfinished(dir: &Path) -> PathBuf {
        dir.join(format!("temp-{}.rdb", std::process::id()))
    }

    /// Writes it and puts it in the place of the former one; its length.
    ///
    /// # Errors
    /// Of the disk, or of the image; then the former file stays.
    pub fn write(&self, manifest: &Manifest, image: &Image<'_>) -> Result<u64, String> {
        let path = Dump::unfinished(&self.dir);
        let written = self.write_beside(&path, manifest, image);
        if written.is_err() {
            let _ = std::fs::remove_file(&path); // there may be none
        }
        written
    }

    fn write_beside(&self, path: &Path, manifest: &Manifest, image: &Image<'_>) -> Result<u64, String> {
        let target = self.dir.join(&self.name);
        let text = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = File::create(path).map_err(text)?;
        let length = fill(&mut file, path, &self.facts, &self.form, manifest, image)?;
        file.sync_all().map_err(text)?;
        std::fs::rename(path, &target).map_err(|error| format!("{}: {error}", target.display()))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(text)?;
        Ok(length)
    }
}

/// A keyspace that an RDB file fills, event by event.
pub struct Filler {
    pub keyspace: Keyspace,
    sizes: Sizes,
    policy: MaxmemoryPolicy,
    wall: Millis,
    db: u32,
    /// The key that came last: more of its collection may follow.
    last: Last,
    /// The database that the stream had selected.
    pub stream_db: u32,
    /// The texts of libraries.
    pub functions: Vec<Vec<u8>>,
    /// The end mark was there.
    pub whole: bool,
    /// Keys whose deadline is before this are left out: a master's are gone, a replica's wait for the master's word.
    past: Option<Millis>,
    pub loaded: u64,
    pub expired: u64,
    /// Keys of collections that had nothing in them.
    pub empty: u64,
    delay: KeyDelay,
}

/// What became of the key that came last.
enum Last {
    /// There was none, or it was left out.
    None,
    Loaded(Vec<u8>),
    /// Of its collection nothing has come yet.
    Empty(Item),
}

/// So many empty keys are named in the log.
const EMPTY_NAMED_MAX: u64 = 10;

impl Filler {
    pub fn new(settings: &Settings, past: Option<Millis>) -> Filler {
        Filler {
            keyspace: Keyspace::new(settings.databases.max(1) as usize, super::random_seed()),
            sizes: Sizes::of(settings),
            policy: settings.maxmemory_policy,
            wall: clock::wall(),
            db: 0,
            last: Last::None,
            stream_db: 0,
            functions: Vec::new(),
            whole: false,
            past,
            loaded: 0,
            expired: 0,
            empty: 0,
            delay: KeyDelay::of(settings.key_load_delay),
        }
    }

    /// Puts what has come whole into the keyspace.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn take(&mut self, decoder: &mut rdb::Decoder) -> Result<(), String> {
        while let Some(event) = decoder.next().map_err(|error| error.to_string())? {
            match event {
                rdb::Event::More(value) => {
                    self.more(value)?;
                    continue;
                }
                _ => self.close(),
            }
            match event {
                rdb::Event::SelectDb(db) => {
                    self.db = db;
                    self.keyspace.grow_databases(db as usize + 1);
                }
                rdb::Event::Aux { key, value } if key == b"repl-stream-db" => {
                    let text = std::str::from_utf8(&value).unwrap_or_default();
                    self.stream_db = text.parse().unwrap_or(0);
                }
                rdb::Event::Item(item) if item.expire.is_some_and(|at| self.past.is_some_and(|past| at < past)) => {
                    self.expired += 1;
                }
                rdb::Event::Item(item) => {
                    self.delay.pass(&AtomicBool::new(false));
                    self.item(item)?;
                }
                rdb::Event::Function(text) => self.functions.push(text),
                rdb::Event::End => self.whole = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<(), String> {
        if item.value.is_empty() {
            self.last = Last::Empty(item);
            return Ok(());
        }
        let Item { key, expire, used, value } = item;
        let hashed = self.keyspace.key(&key);
        transfer::load(&mut self.keyspace, self.sizes, self.db, hashed, expire, &value)?;
        if let Some(used) = used {
            transfer::mark_used(&self.keyspace, self.policy, self.db, hashed, used, self.wall);
        }
        self.loaded += 1;
        self.last = Last::Loaded(key);
        Ok(())
    }

    fn more(&mut self, value: rdb::Value) -> Result<(), String> {
        match std::mem::replace(&mut self.last, Last::None) {
            Last::None => Ok(()),
            Last::Empty(item) => self.item(Item { value, ..item }),
            Last::Loaded(key) => {
                let hashed = self.keyspace.key(&key);
                transfer::load_more(&mut self.keyspace, self.sizes, self.db, hashed, &value)?;
                self.last = Last::Loaded(key);
                Ok(())
            }
        }
    }

    /// No more of the last key will come.
    fn close(&mut self) {
        if let Last::Empty(item) = std::mem::replace(&mut self.last, Last::None) {
            self.empty += 1;
            if self.empty <= EMPTY_NAMED_MAX {
                tracing::info!("RDB: skipping empty key: {}", item.key.escape_ascii());
            }
        }
    }
}

/// What the file of this name holds; `None` where there is none.
///
/// Where it says that it belongs to a place in a replication stream, that is left aside: anybody may have copied it,
/// and restored it twice. What is read here begins a history of its own.
///
/// # Errors
/// The file can't be read or is no RDB: its name, and where the trouble is.
pub fn read(
    path: &Path,
    settings: &Settings,
    past: Option<Millis>,
    checksum: Checksum,
    reading: &Reading,
) -> Result<Option<Filler>, String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(text(&error)),
    };
    let (mut filler, mut decoder) = (Filler::new(settings, past), rdb::Decoder::new().checksum(checksum));
    filler.delay = reading.delay.clone();
    let (mut chunk, mut bytes) = (vec![0; CHUNK_BYTES], 0_u64);
    loop {
        let read = file.read(&mut chunk).map_err(|error| text(&error))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        reading.done.store(bytes, Relaxed);
        decoder.push(&chunk[..read]);
        filler.take(&mut decoder).map_err(|error| text(&error))?;
    }
    match filler.whole {
        true => Ok(Some(filler)),
        false => Err(text(&rdb::RdbError::Truncated { offset: bytes })),
    }
}
