//! One master that this sentinel watches, with its nodes.

use super::instance::Instance;
use crate::base::{Epoch, Millis, RunId};
use crate::config::MasterConfig;
use crate::failover::observation::Timing;
use crate::failover::{Addr, Settings};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one master here.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What the file says: the address and the agreed settings are kept up to date, the rest is this sentinel's own.
    pub config: MasterConfig,
    /// The master's present address.
    pub addr: Addr,
    /// The configuration epoch of that address.
    pub epoch: Epoch,
    /// All nodes, the master included.
    pub nodes: BTreeMap<Addr, Instance>,
    /// The other sentinels that watch it, in the order of their run ids.
    pub sentinels: BTreeSet<RunId>,
    /// `+odown` was said, then.
    pub odown: Option<Millis>,
    /// A failover is in progress, since.
    pub failing_over: Option<Millis>,
    /// The node that was picked.
    pub picked: Option<Addr>,
    /// It began with SENTINEL FAILOVER.
    pub forced: bool,
    /// The configuration epoch since which the nodes have been asked for INFO.
    pub asked_in: Option<Epoch>,
    /// Whom IS-MASTER-DOWN-BY-ADDR was last told as this sentinel's vote.
    pub vote: Option<(String, Epoch)>,
    /// `-failover-abort-no-good-slave` was said, then.
    pub stuck: Option<Millis>,
    /// SENTINEL FAILOVER was taken here, then.
    pub forced_at: Option<Millis>,
}

impl Watched {
    pub fn settings(&self) -> Settings {
        Settings {
            quorum: self.config.quorum,
            down_after: self.config.down_after,
            failover_timeout: self.config.failover_timeout,
            parallel_syncs: self.config.parallel_syncs,
        }
    }

    pub fn timing(&self) -> Timing {
        Timing {
            down_after: self.config.down_after,
            info_period: super::instance::INFO_PERIOD_MS,
            reboot_down_after: self.config.reboot_down_after,
        }
    }

    pub fn master(&self) -> Option<&Instance> {
        self.nodes.get(&self.addr)
    }

    pub fn replicas(&self) -> impl Iterator<Item = &Instance> {
        self.nodes.values().filter(|node| node.addr != self.addr)
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// `<type> <name> <ip> <port>`, and ` @ <master> <ip> <port>` for what is not the master.
    pub fn describe(&self, addr: &Addr) -> String {
        match *addr == self.addr {
            true => format!("master {} {} {}", self.name(), addr.host, addr.port),
            false => format!(
                "slave {addr} {} {} @ {} {} {}",
                addr.host,
                addr.port,
                self.name(),
                self.addr.host,
                self.addr.port
            ),
        }
    }

    pub fn describe_sentinel(&self, runid: &RunId, addr: &Addr) -> String {
        format!("sentinel {runid} {} {} @ {} {} {}", addr.host, addr.port, self.name(), self.addr.host, self.addr.port)
    }
}
