//! Who and where: the group, its members, and the addresses of nodes and sentinels.
//!
//! An address is only where one dials; what decides is the member id (random, made with the sentinel's store) and the
//! group id (random, made at the founding).

use crate::base::limits::GROUP_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A sentinel in the group: the Raft node id, drawn at random with its store. Not SENTINEL MYID, which is a run id.
pub type MemberId = u64;

/// One start of a sentinel's process, drawn at random: an opinion of an earlier start counts for nothing.
pub type BootId = u64;

/// The identity of a group of sentinels, drawn at its founding. Nodes remember whose orders they obey by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u128);

impl GroupId {
    /// Reads thirty-two hexadecimal digits; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<GroupId> {
        let text = std::str::from_utf8(text).ok()?;
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u128::from_str_radix(text, 16).ok().map(GroupId)).flatten()
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host (address or name, as the operator or the node wrote it) and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Addr {
    pub host: String,
    pub port: u16,
}

impl Addr {
    pub fn new(host: impl Into<String>, port: u16) -> Addr {
        Addr { host: host.into(), port }
    }

    /// Whether it may stand in the registry: a host of a sane length without separators, and a port.
    pub fn is_sound(&self) -> bool {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == ',';
        !self.host.is_empty() && self.host.len() <= GROUP_NAME_BYTES_MAX && self.port != 0 && !self.host.contains(bad)
    }
}

impl fmt::Display for Addr {
    /// `host:port`, and `[host]:port` for IPv6, as Redis names replicas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_ids_there_and_back() {
        let id = GroupId(0xfeed_0000_0000_0000_0000_0000_0000_0001);
        assert_eq!(GroupId::parse(id.to_string().as_bytes()), Some(id));
        for text in ["", "+0000000000000000000000000000001", &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(GroupId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn addresses_print_as_redis_names_replicas() {
        assert_eq!(Addr::new("127.0.0.1", 7001).to_string(), "127.0.0.1:7001");
        assert_eq!(Addr::new("::1", 7001).to_string(), "[::1]:7001");
        assert!(!Addr::new("a b", 1).is_sound() && !Addr::new("", 1).is_sound() && !Addr::new("a", 0).is_sound());
    }
}
