//! The double of the checkpoint's database: it fails on demand, and after a crash holds what a barrier covered and some
//! whole batches more, in order.

use super::pages::{Op, Pages, Rows, Table};
use crate::store::error::StoreError;
use crate::store::memory::Luck;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

type Data = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct State {
    now: Data,
    durable: Data,
    /// Batches since the last barrier.
    pending: Vec<(Table, Vec<Op>)>,
    witness: u64,
    steps: u64,
    fail_at: Option<u64>,
    crash_at: Option<u64>,
    crashed: bool,
}

/// A database in memory.
#[derive(Clone, Default)]
pub struct MemoryPages(Arc<Mutex<State>>);

fn play(data: &mut Data, table: Table, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Put(key, value) => data.insert((table, key.clone()), value.clone()),
            Op::Remove(key) => data.remove(&(table, key.clone())),
        };
    }
}

impl MemoryPages {
    /// Fails one step, `steps` from now (1: the next).
    pub fn fail_in(&self, steps: u64) {
        let mut state = self.0.lock();
        state.fail_at = Some(state.steps + steps);
    }

    /// Ends the process at a step.
    pub fn crash_in(&self, steps: u64) {
        let mut state = self.0.lock();
        state.crash_at = Some(state.steps + steps);
    }

    /// The same database closed and opened again: closing writes what is pending.
    pub fn reopened(&self) -> MemoryPages {
        let mut state = self.0.lock();
        state.durable = state.now.clone();
        state.pending.clear();
        drop(state);
        self.clone()
    }

    pub fn rows(&self, table: Table) -> usize {
        self.0.lock().now.keys().filter(|key| key.0 == table).count()
    }

    /// Loses a row, as the real one may when the file is damaged.
    pub fn lose(&self, table: Table, key: &[u8]) {
        self.0.lock().now.remove(&(table, key.to_vec())).expect("such a row");
    }

    /// Flips a bit in a value.
    pub fn damage(&self, table: Table, key: &[u8]) {
        let mut state = self.0.lock();
        let value = state.now.get_mut(&(table, key.to_vec())).expect("such a row");
        value[0] ^= 1;
    }

    /// What a new process finds: with either end, what was not flushed may be gone.
    pub fn after(&self, luck: &mut Luck) -> MemoryPages {
        let state = self.0.lock();
        let mut data = state.durable.clone();
        let kept = luck.below(state.pending.len() + 1);
        for (table, ops) in &state.pending[..kept] {
            play(&mut data, *table, ops);
        }
        MemoryPages(Arc::new(Mutex::new(State {
            now: data.clone(),
            durable: data,
            witness: state.witness,
            ..State::default()
        })))
    }

    fn step(&self) -> Result<parking_lot::MutexGuard<'_, State>, StoreError> {
        let mut state = self.0.lock();
        state.steps += 1;
        if state.crash_at == Some(state.steps) {
            state.crashed = true;
        }
        if state.crashed || state.fail_at == Some(state.steps) {
            return Err(StoreError::Pages { dir: "/memory".into(), doing: "a step", cause: "it failed".into() });
        }
        Ok(state)
    }
}

impl Pages for MemoryPages {
    fn apply(&self, table: Table, ops: Vec<Op>) -> Result<(), StoreError> {
        for op in &ops {
            if let Op::Put(_, value) = op {
                assert!(value.len() <= super::manifest::PART_BYTES, "a value too large for sled");
            }
        }
        let mut state = self.step()?;
        play(&mut state.now, table, &ops);
        state.pending.push((table, ops));
        assert!(state.pending.len() <= 3, "batches are flushed, not piled up");
        Ok(())
    }

    fn barrier(&self) -> Result<(), StoreError> {
        let mut state = self.step()?;
        state.durable = state.now.clone();
        state.pending.clear();
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().now.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Rows<'_> {
        let state = self.0.lock();
        let of_table = state.now.iter().filter(|(key, _)| key.0 == table && key.1.starts_with(prefix));
        let rows: Vec<_> = of_table.map(|(key, value)| Ok((key.1.clone(), value.clone()))).collect();
        Box::new(rows.into_iter())
    }

    fn witness(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().witness)
    }

    fn set_witness(&self, version: u64) {
        self.0.lock().witness = version;
    }

    fn disk_bytes(&self) -> u64 {
        self.0.lock().now.values().map(|value| value.len() as u64).sum()
    }

    fn dir(&self) -> &Path {
        Path::new("/memory")
    }
}
