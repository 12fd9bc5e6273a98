//! A medium in memory, for tests and simulations: it outlives its owner, so a "restart" opens the same one again, and it
//! can be told to fail.

use super::{Change, GroupMedium, GroupStoreError, Records};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

#[derive(Default)]
struct Inner {
    records: Records,
    rounds: Vec<usize>,
    fail: Option<String>,
}

/// Shared records: a clone is the same medium.
#[derive(Clone, Default)]
pub struct MemoryMedium(Arc<Mutex<Inner>>);

impl MemoryMedium {
    /// From now on every commit fails with this text (`None`: works again, for whoever opens it next).
    pub fn fail(&self, text: Option<&str>) {
        self.0.lock().fail = text.map(str::to_owned);
    }

    /// What a crash at this instant would leave.
    pub fn records(&self) -> Records {
        self.0.lock().records.clone()
    }

    /// The number of changes in each round so far.
    pub fn rounds(&self) -> Vec<usize> {
        self.0.lock().rounds.clone()
    }
}

impl GroupMedium for MemoryMedium {
    fn load(&mut self) -> Result<Records, GroupStoreError> {
        Ok(self.records())
    }

    fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut inner = self.0.lock();
        if let Some(text) = &inner.fail {
            return Err(io::Error::other(text.clone()));
        }
        for change in changes {
            match change {
                Change::Put { key, value } => inner.records.insert(key.clone(), value.clone()),
                Change::Delete { key } => inner.records.remove(key),
            };
        }
        inner.rounds.push(changes.len());
        Ok(())
    }
}
