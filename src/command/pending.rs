//! Placeholders for what the families bring: each goes when its real one lands (admin).
use super::*;
use crate::base::{Millis, ReplId};
impl Server {
    pub fn answer_saved(&mut self, _slot: Slot, _r: Result<(), &str>) {}
    pub fn retry_blocked(&mut self, _slot: Slot) {}
    pub fn retry_all_blocked(&mut self) {}
    pub fn next_block_deadline(&self) -> Option<Millis> {
        None
    }
    pub fn change_history(&mut self, _r: ReplId) {}
}
