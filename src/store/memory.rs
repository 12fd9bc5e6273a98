//! The double of the file system: files in memory that fail on demand, forget what was not synced when the power goes,
//! and lose for good what a failed sync should have kept.

use super::medium::{Medium, SegmentFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Deterministic luck for tests.
#[derive(Clone)]
pub struct Luck(u64);

impl Luck {
    pub fn new(seed: u64) -> Self {
        Luck(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The system says no (an errno); an append has put this many bytes before.
    Error(i32, usize),
    /// The process ends here; an append has put this many bytes before.
    Crash(usize),
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`: what the system was given stays.
    Kill,
    /// The power goes: what was not synced may be there, in part, or not.
    PowerCut,
}

#[derive(Default)]
struct Inode {
    /// What a reader sees.
    bytes: Vec<u8>,
    /// What is on the disk for certain.
    disk: Vec<u8>,
    /// Bytes that a failed sync gave up: on the disk they are zeros, whatever a later sync says.
    lost: Vec<std::ops::Range<usize>>,
    /// Up to where there is space, should the disk be full.
    reserved: usize,
}

#[derive(Default)]
struct State {
    /// There is no space but what is reserved.
    full: bool,
    sync_fails: bool,
    names: BTreeMap<String, Arc<Mutex<Inode>>>,
    durable_names: BTreeMap<String, Arc<Mutex<Inode>>>,
    steps: u64,
    faults: BTreeMap<u64, Fault>,
    crashed: bool,
}

/// A directory in memory.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

struct MemoryFile(MemoryDisk, Arc<Mutex<Inode>>);

impl MemoryDisk {
    /// Has the operation fail that is `steps` changes from now (1: the next).
    pub fn fail_in(&self, steps: u64, fault: Fault) {
        let mut state = self.0.lock();
        let at = state.steps + steps;
        state.faults.insert(at, fault);
    }

    /// The next sync of a file that was synced before fails, whichever step it is.
    pub fn fail_next_sync(&self) {
        self.0.lock().sync_fails = true;
    }

    /// From now on there is no space, or there is again.
    pub fn full(&self, full: bool) {
        self.0.lock().full = full;
    }

    pub fn crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// What a new process finds.
    pub fn after(&self, end: End, luck: &mut Luck) -> MemoryDisk {
        let state = self.0.lock();
        let mut names: BTreeMap<String, Arc<Mutex<Inode>>> = BTreeMap::new();
        let all = state.names.iter().chain(&state.durable_names);
        for (name, inode) in all {
            let (now, durable) = (state.names.contains_key(name), state.durable_names.contains_key(name));
            let there = match end {
                End::Kill => now,
                End::PowerCut => (now && durable) || luck.one_in(2),
            };
            if !there || names.contains_key(name) {
                continue;
            }
            let inode = inode.lock();
            let copy = match end {
                End::Kill => Inode {
                    bytes: inode.bytes.clone(),
                    disk: inode.disk.clone(),
                    lost: inode.lost.clone(),
                    reserved: 0,
                },
                End::PowerCut => {
                    let bytes = inode.after_power_cut(luck);
                    Inode { disk: bytes.clone(), bytes, ..Inode::default() }
                }
            };
            names.insert(name.clone(), Arc::new(Mutex::new(copy)));
        }
        let durable_names = match end {
            End::Kill => names
                .iter()
                .filter(|(name, _)| state.durable_names.contains_key(*name))
                .map(|(n, i)| (n.clone(), i.clone()))
                .collect(),
            End::PowerCut => names.clone(),
        };
        MemoryDisk(Arc::new(Mutex::new(State { names, durable_names, ..State::default() })))
    }

    /// The only file's bytes, or the last file's.
    pub fn last_file(&self) -> (String, Vec<u8>) {
        let state = self.0.lock();
        let (name, inode) = state.names.last_key_value().expect("a file");
        (name.clone(), inode.lock().bytes.clone())
    }

    /// A disk with these files, all durable.
    pub fn with_files(files: &[(String, Vec<u8>)]) -> Self {
        let names: BTreeMap<_, _> = files
            .iter()
            .map(|(name, bytes)| {
                let inode = Inode { bytes: bytes.clone(), disk: bytes.clone(), ..Inode::default() };
                (name.clone(), Arc::new(Mutex::new(inode)))
            })
            .collect();
        MemoryDisk(Arc::new(Mutex::new(State { durable_names: names.clone(), names, ..State::default() })))
    }

    /// All files.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.0.lock().names.iter().map(|(name, inode)| (name.clone(), inode.lock().bytes.clone())).collect()
    }

    /// Counts a change and says what becomes of it: the bytes it may put, and its error.
    fn step(&self) -> Result<(), (usize, io::Error)> {
        let mut state = self.0.lock();
        if state.crashed {
            return Err((0, io::Error::other("the process has ended")));
        }
        state.steps += 1;
        let at = state.steps;
        match state.faults.remove(&at) {
            None => Ok(()),
            Some(Fault::Error(errno, bytes)) => Err((bytes, io::Error::from_raw_os_error(errno))),
            Some(Fault::Crash(bytes)) => {
                state.crashed = true;
                Err((bytes, io::Error::other("the process has ended")))
            }
        }
    }

    fn plain_step(&self) -> io::Result<()> {
        self.step().map_err(|(_, error)| error)
    }
}

impl Inode {
    /// What is on the disk for certain, then any prefix of the rest, of which a stretch may be zeros.
    fn after_power_cut(&self, luck: &mut Luck) -> Vec<u8> {
        let sure = self.disk.len();
        let mut out = self.disk.clone();
        if self.bytes.len() > sure {
            let kept = sure + luck.below(self.bytes.len() - sure + 1);
            out.extend_from_slice(&self.bytes[sure..kept]);
            if luck.one_in(3) && kept > sure {
                let from = sure + luck.below(kept - sure);
                let to = from + luck.below(kept - from + 1);
                out[from..to].fill(0);
            }
        }
        for range in &self.lost {
            let end = range.end.min(out.len());
            if range.start < end {
                out[range.start..end].fill(0);
            }
        }
        out
    }
}

impl Medium for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        self.plain_step()?;
        let inode = Arc::new(Mutex::new(Inode::default()));
        let mut state = self.0.lock();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.insert(name.into(), inode.clone());
        Ok(Arc::new(MemoryFile(self.clone(), inode)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let state = self.0.lock();
        let inode = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile(self.clone(), inode.clone())))
    }

    fn rewrite(&self, name: &str, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.plain_step()?;
        let inode = self.0.lock().names.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        let mut inode = inode.lock();
        let (from, to) = (position as usize, position as usize + bytes.len());
        inode.bytes[from..to].copy_from_slice(bytes);
        let around = |range: std::ops::Range<usize>| [range.start..range.end.min(from), range.start.max(to)..range.end];
        inode.lost = std::mem::take(&mut inode.lost).into_iter().flat_map(around).filter(|r| r.start < r.end).collect();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.plain_step()?;
        self.0.lock().names.remove(name).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.plain_step()?;
        let mut state = self.0.lock();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/memory").join(name)
    }
}

impl SegmentFile for MemoryFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let all = [head, body].concat();
        let full = self.0.0.lock().full;
        let inode = self.1.lock();
        if full && inode.bytes.len() + all.len() > inode.reserved {
            return Err(io::Error::from_raw_os_error(28));
        }
        drop(inode);
        match self.0.step() {
            Ok(()) => {
                self.1.lock().bytes.extend_from_slice(&all);
                Ok(())
            }
            Err((put, error)) => {
                self.1.lock().bytes.extend_from_slice(&all[..put.min(all.len())]);
                Err(error)
            }
        }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let inode = self.1.lock();
        let rest = &inode.bytes[(position as usize).min(inode.bytes.len())..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.1.lock().bytes.len() as u64)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.plain_step()?;
        let mut inode = self.1.lock();
        inode.bytes.truncate(length as usize);
        for range in &mut inode.lost {
            range.end = range.end.min(length as usize);
        }
        inode.lost.retain(|range| range.start < range.end);
        inode.reserved = length as usize;
        Ok(())
    }

    fn reserve(&self, _from: u64, upto: u64) -> io::Result<()> {
        if self.0.0.lock().full {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.1.lock().reserved = upto as usize;
        Ok(())
    }

    fn unreserve(&self, length: u64) -> io::Result<()> {
        self.1.lock().reserved = length as usize;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut outcome = self.0.plain_step();
        let mut inode = self.1.lock();
        if !inode.disk.is_empty() && std::mem::take(&mut self.0.0.lock().sync_fails) {
            outcome = Err(io::Error::from_raw_os_error(5));
        }
        match outcome {
            Ok(()) => {
                inode.disk = inode.bytes.clone();
                let Inode { disk, lost, .. } = &mut *inode;
                for range in lost.iter() {
                    let end = range.end.min(disk.len());
                    disk[range.start.min(end)..end].fill(0);
                }
                Ok(())
            }
            Err(error) => {
                let (from, to) = (inode.disk.len(), inode.bytes.len());
                if from < to {
                    inode.lost.push(from..to);
                }
                Err(error)
            }
        }
    }
}
