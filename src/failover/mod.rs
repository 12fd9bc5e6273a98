//! The core of the sentinels: what one believes, what the group agreed, and what is to be done next.
mod candidate;
mod codec;
mod duties;
mod entry;
pub mod facts;
pub mod founding;
pub mod hello;
mod moves;
mod names;
mod obey;
pub mod observation;
mod plant;
mod registry;
pub mod seen;

pub use candidate::{ASK_PATIENCE_MS, Candidate, Choice, LIVE_MS, choose, ranked};
pub use codec::{CodecError, VERSION, decode, encode};
pub use entry::{Applied, Entry, Event, Reason, Setting, Settings, Stale, Witness};
pub use moves::{Alarm, Change, LOOK_MS, Move, SILENT_MS, may_force, moves};
pub use names::{Addr, BootId, GroupId, MemberId};
pub use obey::{Obedience, Obeyed, Order, Refusal};
pub use registry::{EPOCH_JUMP_MAX, Master, Member, Phase, Pick, Promotion, Registry, Replica, Standing};
pub use seen::{Answer, MasterSeen, Me, NodeSeen, Opinion, RaftView, Read, Seen, Sent};
#[cfg(test)]
mod sim;
