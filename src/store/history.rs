//! Which history a node's effects belong to: the record that stands in the checkpoint and, at each change, in the log.

use crate::base::{Epoch, Offset, ReplId};
use crate::store::codec;
use serde::{Deserialize, Serialize};

/// The replication ids of a node, and whom it obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The current replication id.
    pub replid: ReplId,
    /// The id before it, good up to `second_offset`; [`ReplId::NONE`] for none.
    pub replid2: ReplId,
    /// The first offset at which `replid2` is no longer ours; `None` is Redis' -1.
    pub second_offset: Option<Offset>,
    /// All former ids with the offsets where they ended, oldest first.
    pub former: Vec<(ReplId, Offset)>,
    /// The highest failover epoch obeyed.
    pub epoch: Epoch,
    /// Which life of the data set this is: a new one begins when data is given up on purpose.
    pub data_generation: u64,
}

impl History {
    /// A history that begins with this id.
    pub fn new(replid: ReplId) -> Self {
        History {
            replid,
            replid2: ReplId::NONE,
            second_offset: None,
            former: Vec::new(),
            epoch: Epoch(0),
            data_generation: 1,
        }
    }
}

/// A change of history as the log keeps it: the whole new state, so that replaying it twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryChange {
    /// What holds from here on.
    pub history: History,
    /// Why it changed, for the person who reads the log.
    pub reason: String,
}

impl HistoryChange {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, codec::CodecError> {
        codec::decode(bytes)
    }
}
