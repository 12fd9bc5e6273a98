//! What one node says of itself in INFO: the fields that a sentinel acts on, of Redis, Valkey and Regent nodes alike.
//!
//! Fields of a native node, beside those of Redis: `regent_group` (32 hex digits, the group whose orders it obeys) and
//! `regent_epoch` (the highest epoch that it obeyed); a node without the second is of another make.

use super::names::{Addr, GroupId};
use crate::base::{Epoch, Millis, Offset, ReplId, RunId, number};
use serde::{Deserialize, Serialize};

/// One INFO, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub runid: Option<RunId>,
    pub role: Role,
    /// `slave_priority`; 0 is never promoted.
    pub priority: u32,
    /// `replica_announced`: hidden nodes are watched but not shown.
    pub announced: bool,
    /// `master_repl_offset`, or `slave_repl_offset` of a replica.
    pub offset: Offset,
    pub replid: Option<ReplId>,
    /// `master_replid2` and the offset where it ended (`second_repl_offset` - 1).
    pub former: Option<(ReplId, Offset)>,
    /// `slaveN` lines: the replicas that are attached, online or not.
    pub replicas: Vec<Addr>,
    /// What a native node adds.
    pub native: Option<Native>,
    /// What it says of history and offset while it reads its data is not theirs, and is left out.
    pub loading: Loading,
}

/// What a node reads before it serves (`loading`, and `loading_from` of a native one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loading {
    /// Nothing; or it is a master that asks its replicas for a lost tail, whose history is true, and which heeds orders.
    #[default]
    Nothing,
    /// Data of any kind, for who knows how long.
    Data,
    /// A native node's own store.
    Store,
}

/// The role that a node reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    #[default]
    Master,
    Replica {
        master: Addr,
        link: MasterLink,
    },
}

/// A replica's link to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MasterLink {
    Up,
    /// `master_link_down_since_seconds`, where it is told.
    Down {
        for_: Option<Millis>,
    },
}

/// Whose orders a native node obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    pub group: Option<GroupId>,
    pub obeyed: Epoch,
}

impl Facts {
    /// Reads the text of INFO. `None` when it names no role: not the INFO of a data node.
    pub fn parse(text: &[u8]) -> Option<Facts> {
        let mut facts = Facts { priority: 100, announced: true, ..Facts::default() };
        let mut role = None;
        let (mut host, mut port, mut up, mut down_for) = (None, None, false, None);
        let (mut slave_offset, mut second_id, mut second_offset) = (None, None, None);
        let (mut group, mut obeyed, mut from) = (None, None, None);
        for line in text.split(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let (key, value) = (&line[..colon], &line[colon + 1..]);
            match key {
                b"run_id" => facts.runid = RunId::parse(value),
                b"loading" if value == b"1" => facts.loading = Loading::Data,
                b"loading_from" => from = Some(value),
                b"role" => role = Some(value == b"master"),
                b"master_host" => host = std::str::from_utf8(value).ok().map(str::to_owned),
                b"master_port" => port = count(value).and_then(|port| u16::try_from(port).ok()),
                b"master_link_status" => up = value == b"up",
                b"master_link_down_since_seconds" => {
                    down_for = number::parse_i64(value).filter(|s| *s >= 0).map(|s| Millis(s.saturating_mul(1000)))
                }
                b"slave_priority" => facts.priority = count(value).map_or(100, |p| p.min(u64::from(u32::MAX)) as u32),
                b"replica_announced" => facts.announced = value != b"0",
                b"master_repl_offset" => facts.offset = Offset(count(value).unwrap_or(0)),
                b"slave_repl_offset" => slave_offset = count(value).map(Offset),
                b"master_replid" => facts.replid = ReplId::parse(value),
                b"master_replid2" => second_id = ReplId::parse(value).filter(|id| *id != ReplId::NONE),
                b"second_repl_offset" => second_offset = count(value).and_then(|next| next.checked_sub(1)).map(Offset),
                b"regent_group" => group = GroupId::parse(value),
                b"regent_epoch" => obeyed = count(value).map(Epoch),
                _ if is_slave_line(key) => facts.replicas.extend(attached(value)),
                _ => {}
            }
        }
        facts.former = second_id.zip(second_offset);
        facts.loading = match (facts.loading, from) {
            (Loading::Data, Some(b"store")) => Loading::Store,
            (Loading::Data, Some(b"replicas")) => Loading::Nothing,
            (loading, _) => loading,
        };
        if facts.loads() {
            (facts.replid, facts.former, facts.offset, slave_offset) = (None, None, Offset(0), None);
        }
        facts.native = obeyed.map(|obeyed| Native { group, obeyed });
        if !role? {
            facts.offset = slave_offset.unwrap_or(facts.offset);
            let link = if up { MasterLink::Up } else { MasterLink::Down { for_: down_for } };
            facts.role = Role::Replica { master: Addr { host: host?, port: port? }, link };
        }
        Some(facts)
    }

    /// Whether it has yet to read its data.
    pub fn loads(&self) -> bool {
        self.loading != Loading::Nothing
    }

    /// The master that this node follows.
    pub fn follows(&self) -> Option<&Addr> {
        match &self.role {
            Role::Master => None,
            Role::Replica { master, .. } => Some(master),
        }
    }

    /// Whether it is a replica whose link is up.
    pub fn is_linked(&self) -> bool {
        matches!(self.role, Role::Replica { link: MasterLink::Up, .. })
    }
}

fn count(value: &[u8]) -> Option<u64> {
    number::parse_i64(value).and_then(|n| u64::try_from(n).ok())
}

fn is_slave_line(key: &[u8]) -> bool {
    key.strip_prefix(b"slave").is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

/// `ip=10.0.0.2,port=7002,state=online,...`, and the form of Redis before 2.8, `10.0.0.2,7002,online`.
fn attached(value: &[u8]) -> Option<Addr> {
    let value = std::str::from_utf8(value).ok()?;
    let mut fields = value.split(',');
    let addr = if value.starts_with("ip=") {
        let find = |name: &str| value.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        Addr::new(find("ip")?, find("port")?.parse().ok()?)
    } else {
        Addr::new(fields.next()?, fields.next()?.parse().ok()?)
    };
    addr.is_sound().then_some(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_and_its_replicas() {
        let id = "a".repeat(40);
        let text = format!(
            "# Server\r\nrun_id:{id}\r\n# Replication\r\nrole:master\r\nconnected_slaves:1\r\nslave0:ip=127.0.0.1,\
             port=7002,state=online,offset=14,lag=0\r\nslave1:ip=::1,port=7003,state=online,offset=14,lag=0\r\n\
             master_replid:{id}\r\nmaster_replid2:{}\r\nmaster_repl_offset:14\r\nsecond_repl_offset:-1\r\n",
            "0".repeat(40)
        );
        let facts = Facts::parse(text.as_bytes()).unwrap();
        assert_eq!(facts.role, Role::Master);
        assert_eq!(facts.replicas, [Addr::new("127.0.0.1", 7002), Addr::new("::1", 7003)]);
        assert_eq!((facts.offset, facts.former, facts.native), (Offset(14), None, None));
        assert_eq!(facts.replid, ReplId::parse(id.as_bytes()));
        assert_eq!(facts.priority, 100);
    }

    #[test]
    fn a_replica_and_its_link() {
        let text = b"role:slave\r\nmaster_host:h\r\nmaster_port:7001\r\nmaster_link_status:down\r\n\
            master_link_down_since_seconds:3\r\nslave_repl_offset:9\r\nslave_priority:0\r\nmaster_repl_offset:8\r\n\
            regent_epoch:4\r\nregent_group:000000000000000000000000000000ff\r\nreplica_announced:0\r\n";
        let facts = Facts::parse(text).unwrap();
        assert_eq!(facts.follows(), Some(&Addr::new("h", 7001)));
        let down = MasterLink::Down { for_: Some(Millis(3000)) };
        assert_eq!(facts.role, Role::Replica { master: Addr::new("h", 7001), link: down });
        assert_eq!(facts.native, Some(Native { group: Some(GroupId(255)), obeyed: Epoch(4) }));
        assert_eq!((facts.offset, facts.priority, facts.announced), (Offset(9), 0, false));
    }

    #[test]
    fn one_that_reads_its_data_tells_of_no_history() {
        let id = "b".repeat(40);
        let text = format!(
            "run_id:{id}\r\nloading:1\r\nrole:slave\r\nmaster_host:h\r\nmaster_port:7001\r\nslave_repl_offset:9\r\n\
             master_replid:{id}\r\nmaster_replid2:{id}\r\nmaster_repl_offset:9\r\nsecond_repl_offset:5\r\n"
        );
        let facts = Facts::parse(text.as_bytes()).unwrap();
        assert!(facts.loads() && facts.runid.is_some() && facts.follows().is_some());
        assert_eq!((facts.replid, facts.former, facts.offset), (None, None, Offset(0)));
        for whole in ["loading:0", "loading:1\r\nloading_from:replicas"] {
            let whole = Facts::parse(text.replace("loading:1", whole).as_bytes()).unwrap();
            assert_eq!((whole.loads(), whole.offset, whole.replid), (false, Offset(9), ReplId::parse(id.as_bytes())));
        }
        let native = Facts::parse(text.replace("loading:1", "loading:1\r\nloading_from:store").as_bytes()).unwrap();
        assert_eq!((facts.loading, native.loading), (Loading::Data, Loading::Store));
    }

    #[test]
    fn garbage_is_no_info() {
        for text in ["", "role", "role:slave\r\n", "redis_version:7\r\n", "slave0:ip=,port=x\r\n:\r\n"] {
            assert_eq!(Facts::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
