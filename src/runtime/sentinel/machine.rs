//! The registry as the group's machine, shared with the loop.

use crate::base::RunId;
use crate::consensus::Machine;
use crate::failover::{self, Applied, Entry, Event, GroupId, MemberId, Registry, Stale, Standing};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// Events that wait for the loop; of more, the oldest are not told.
const EVENTS_MAX: usize = 4096;

/// What the group has agreed so far, and what of it the loop has not heard of.
pub struct Agreement {
    state: Mutex<State>,
    pub bell: Notify,
}

struct State {
    registry: Registry,
    events: VecDeque<Event>,
    fresh: bool,
}

impl Agreement {
    pub fn new() -> Arc<Agreement> {
        let registry = Registry::new(GroupId(0));
        Arc::new(Agreement {
            state: Mutex::new(State { registry, events: VecDeque::new(), fresh: false }),
            bell: Notify::new(),
        })
    }

    /// The group got its id, or this sentinel a group.
    pub fn set_group(&self, group: GroupId) {
        let mut state = self.state.lock();
        state.registry.group = group;
        state.fresh = true;
        self.bell.notify_one();
    }

    /// The members that are to stay: id, address, run id.
    pub fn members(&self) -> Vec<(MemberId, String, RunId)> {
        let state = self.state.lock();
        let here = state.registry.members.iter().filter(|(_, member)| member.standing == Standing::Here);
        here.map(|(id, member)| (*id, member.addr.to_string(), member.runid)).collect()
    }

    /// What is new since the last call.
    pub fn take(&self) -> Option<(Registry, Vec<Event>)> {
        let mut state = self.state.lock();
        let events = state.events.drain(..).collect();
        std::mem::take(&mut state.fresh).then(|| (state.registry.clone(), events))
    }
}

/// The group's machine: applies entries to the shared registry.
pub struct RegistryMachine(pub Arc<Agreement>);

impl Machine for RegistryMachine {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        let applied = match failover::decode::<Entry>(command) {
            Ok(entry) => {
                let mut state = self.0.state.lock();
                let applied = state.registry.apply(&entry);
                tracing::debug!("entry {index}: {entry}: {applied:?}");
                if matches!(applied, Applied::Done(_)) {
                    state.events.extend(applied.events().iter().cloned());
                    let surplus = state.events.len().saturating_sub(EVENTS_MAX);
                    state.events.drain(..surplus);
                    state.fresh = true;
                    self.0.bell.notify_one();
                }
                applied
            }
            Err(why) => {
                tracing::warn!("entry {index} of the group's log is unreadable: {why}");
                Applied::Stale(Stale::Bound)
            }
        };
        failover::encode(&applied).unwrap_or_default()
    }

    fn snapshot(&self) -> Vec<u8> {
        failover::encode(&self.0.state.lock().registry).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let registry = failover::decode(snapshot).map_err(|why| why.to_string())?;
        let mut state = self.0.state.lock();
        let group = state.registry.group;
        state.registry = registry;
        if state.registry.group == GroupId(0) {
            state.registry.group = group;
        }
        state.events.clear();
        state.fresh = true;
        self.0.bell.notify_one();
        Ok(())
    }
}
