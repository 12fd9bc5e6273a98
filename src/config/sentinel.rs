//! What the `sentinel ...` lines of sentinel.conf say, typed.
//!
//! How they are read and written is [`statements`](super::statements).

use crate::base::{Epoch, Millis, RunId};

/// What the `sentinel ...` lines say: what the user wants, and the state that rewrites add.
#[derive(Clone, Debug, PartialEq)]
pub struct SentinelSettings {
    /// The sentinel's own identity; none before its first start.
    pub myid: Option<RunId>,
    /// The newest epoch seen.
    pub current_epoch: Epoch,
    /// Address that others are told; empty is the one that is found out.
    pub announce_ip: String,
    /// Port that others are told; 0 is `port`.
    pub announce_port: u16,
    /// Whether host names may stand where addresses do.
    pub resolve_hostnames: bool,
    /// Whether clients are told host names.
    pub announce_hostnames: bool,
    /// Whether SENTINEL SET is refused for scripts; it is unless a line says `no`.
    pub deny_scripts_reconfig: bool,
    /// User for links to other sentinels; empty is the default user.
    pub sentinel_user: String,
    /// Password for links to other sentinels; empty falls back to `requirepass`.
    pub sentinel_pass: String,
    /// Own: what a lookup of a master's address guarantees.
    pub lookup: Lookup,
    /// Own: how many sentinels the group is meant to have; 0 is not said.
    pub group_size: u32,
    /// The masters, in the order of their `monitor` lines.
    pub masters: Vec<MasterConfig>,
}

/// `sentinel lookup`: what a sentinel answers when asked for a master's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// What the group agreed; an error when the group cannot be asked.
    #[default]
    Linearizable,
    /// What this sentinel believes, as Redis Sentinel does.
    Local,
}

/// What is said about one master.
#[derive(Clone, Debug, PartialEq)]
pub struct MasterConfig {
    /// Its name.
    pub name: String,
    /// Its address as configured or agreed last: an IP address, or a host name under `resolve-hostnames`.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// How many sentinels must see it down.
    pub quorum: u32,
    /// How long it must be silent to be seen as down.
    pub down_after: Millis,
    /// `failover-timeout`
    pub failover_timeout: Millis,
    /// Replicas re-pointed at a time after a failover.
    pub parallel_syncs: u32,
    /// Password for the nodes.
    pub auth_pass: Option<String>,
    /// User for the nodes.
    pub auth_user: Option<String>,
    /// Script for events.
    pub notification_script: Option<String>,
    /// Script for changes of the master.
    pub client_reconfig_script: Option<String>,
    /// Commands that the nodes know by another name: from, to.
    pub rename_commands: Vec<(String, String)>,
    /// How long a master may be rebooting before it counts as down; 0 is off.
    pub reboot_down_after: Millis,
    /// Epoch of this address.
    pub config_epoch: Epoch,
    /// Epoch of the last vote.
    pub leader_epoch: Epoch,
    /// Replicas seen.
    pub known_replicas: Vec<KnownReplica>,
    /// Other sentinels seen.
    pub known_sentinels: Vec<KnownSentinel>,
}

/// A replica seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownReplica {
    pub ip: String,
    pub port: u16,
}

/// Another sentinel seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSentinel {
    pub ip: String,
    pub port: u16,
    pub runid: RunId,
}

impl MasterConfig {
    /// `down-after-milliseconds` without a line.
    pub const DOWN_AFTER: Millis = Millis(30_000);
    /// `failover-timeout` without a line.
    pub const FAILOVER_TIMEOUT: Millis = Millis(180_000);
    /// `parallel-syncs` without a line.
    pub const PARALLEL_SYNCS: u32 = 1;

    /// A master as a `monitor` line alone describes it.
    pub fn new(name: &str, ip: &str, port: u16, quorum: u32) -> MasterConfig {
        MasterConfig {
            name: name.to_owned(),
            ip: ip.to_owned(),
            port,
            quorum,
            down_after: Self::DOWN_AFTER,
            failover_timeout: Self::FAILOVER_TIMEOUT,
            parallel_syncs: Self::PARALLEL_SYNCS,
            auth_pass: None,
            auth_user: None,
            notification_script: None,
            client_reconfig_script: None,
            rename_commands: Vec::new(),
            reboot_down_after: Millis(0),
            config_epoch: Epoch(0),
            leader_epoch: Epoch(0),
            known_replicas: Vec::new(),
            known_sentinels: Vec::new(),
        }
    }
}

impl Default for SentinelSettings {
    fn default() -> Self {
        SentinelSettings {
            myid: None,
            current_epoch: Epoch(0),
            announce_ip: String::new(),
            announce_port: 0,
            resolve_hostnames: false,
            announce_hostnames: false,
            deny_scripts_reconfig: true,
            sentinel_user: String::new(),
            sentinel_pass: String::new(),
            lookup: Lookup::default(),
            group_size: 0,
            masters: Vec::new(),
        }
    }
}

impl SentinelSettings {
    /// The master of this name.
    pub fn master(&self, name: &str) -> Option<&MasterConfig> {
        self.masters.iter().find(|master| master.name == name)
    }
}
