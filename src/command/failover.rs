//! FAILOVER: a master hands over to one of its replicas, with nothing lost.
//!
//! ```text
//! none ──FAILOVER──> waiting for sync ──a target has it all, or FORCE and the time is over──> in progress
//!   ^                  │ABORT, time over                        │ABORT, the target refuses      │the target takes over
//!   └──────────────────┴──────────── a master again <───────────┘            a replica <────────┘
//! ```
//! While it waits the stream rests (a pause of writes), so a replica that has acknowledged its end holds everything.
//! Then this node follows the target, and its PSYNC says FAILOVER: the target becomes a master under a new id, which
//! stands in its log before anybody is told of it, and answers as the master that it is. A target that refuses leaves
//! this node what it was: a master, under a new id, since what the target did meanwhile is not known.

use super::pause::PauseBy;
use super::{Refusal, Server};
use crate::base::Millis;
use crate::config::Address;
use crate::replication::sink;

/// A failover under way.
#[derive(Clone, Debug)]
pub struct Failover {
    /// Who takes over; none while any replica may.
    target: Option<Address>,
    /// Monotonic; what happens then, `force` decides.
    deadline: Option<Millis>,
    force: bool,
    in_progress: bool,
}

/// What FAILOVER asks for.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub target: Option<Address>,
    pub timeout: Option<Millis>,
    pub force: bool,
}

impl Failover {
    fn target(&self) -> String {
        self.target.as_ref().map_or("any replica".into(), |target| format!("{}:{}", target.host, target.port))
    }
}

impl Server {
    /// `master_failover_state`
    pub fn failover_state(&self) -> &'static str {
        match &self.failover {
            None => "no-failover",
            Some(Failover { in_progress: false, .. }) => "waiting-for-sync",
            Some(Failover { in_progress: true, .. }) => "failover-in-progress",
        }
    }

    /// Begins one; what it says no to is refused.
    pub fn begin_failover(&mut self, order: Order) -> Result<(), Refusal> {
        if self.failover.is_some() {
            return Err(Refusal::err("FAILOVER already in progress."));
        }
        if self.is_replica() {
            return Err(Refusal::err("FAILOVER is not valid when server is a replica."));
        }
        if self.source.attached() == 0 {
            return Err(Refusal::err("FAILOVER requires connected replicas."));
        }
        if order.force && (order.timeout.is_none() || order.target.is_none()) {
            return Err(Refusal::err("FAILOVER with force option requires both a timeout and target HOST and IP."));
        }
        if let Some(target) = &order.target {
            match self.source.replicas(self.mono).find(|replica| is_at(replica, target)) {
                None => return Err(Refusal::err("FAILOVER target HOST and PORT is not a replica.")),
                Some(replica) if replica.state != "online" => {
                    return Err(Refusal::err("FAILOVER target replica is not online."));
                }
                Some(_) => {}
            }
        }
        let Order { target, timeout, force } = order;
        let deadline = timeout.map(|timeout| self.mono + timeout);
        let failover = Failover { target, deadline, force, in_progress: false };
        tracing::info!("FAILOVER requested to {}.", failover.target());
        self.failover = Some(failover);
        self.ask_for_acks(); // the last bytes before the stream rests: who has them answers at once
        self.begin_pause(PauseBy::Failover, Millis::NEVER, false);
        Ok(())
    }

    /// FAILOVER ABORT; false where there is none.
    pub fn abort_failover(&mut self, why: &str) -> bool {
        let Some(failover) = self.failover.take() else { return false };
        tracing::info!("FAILOVER to {} aborted: {why}", failover.target());
        if failover.in_progress {
            let fresh = self.fresh_id();
            self.step_sink(sink::Event::Unfollow { fresh }, "a failover was aborted");
            self.config.settings.replicaof = None;
        }
        self.end_pause(PauseBy::Failover);
        true
    }

    /// The target has answered: it took over, or will not.
    pub fn failover_answered(&mut self, accepted: bool) {
        if !accepted {
            self.abort_failover("Failover target rejected psync request");
        } else if self.failover.take().is_some() {
            self.end_pause(PauseBy::Failover);
        }
    }

    /// Looks whether a failover that waits can go on: with each acknowledgement, and each beat.
    pub fn tend_failover(&mut self) {
        let Some(failover) = &self.failover else { return };
        if failover.in_progress {
            return;
        }
        if failover.deadline.is_some_and(|deadline| deadline <= self.mono) {
            match &failover.target {
                Some(target) if failover.force => {
                    let target = target.clone();
                    tracing::info!("FAILOVER to {}:{} time out exceeded, failing over.", target.host, target.port);
                    self.hand_over(target);
                }
                _ => drop(self.abort_failover("Replica never caught up before timeout")),
            }
            return;
        }
        let end = self.stream.end();
        let mut replicas = self.source.replicas(self.mono);
        let ready = replicas.find(|replica| {
            let meant = failover.target.as_ref().is_none_or(|target| is_at(replica, target));
            meant && replica.state == "online" && replica.offset == end && port(replica).is_some()
        });
        let Some(ready) = ready else { return };
        let target = Address { host: ready.ip.to_owned(), port: port(&ready).unwrap_or_default() };
        drop(replicas);
        tracing::info!("Failover target {}:{} is synced, failing over.", target.host, target.port);
        self.hand_over(target);
    }

    /// From now on this node follows the target, which is told to take over.
    fn hand_over(&mut self, target: Address) {
        self.refuse_waits();
        let event = sink::Event::Follow { host: &target.host, port: target.port, failover: true };
        self.step_sink(event, "hands over to a replica");
        self.config.settings.replicaof = Some(target.clone());
        if let Some(failover) = &mut self.failover {
            (failover.target, failover.in_progress) = (Some(target), true);
        }
    }
}

fn port(replica: &crate::replication::source::ReplicaInfo<'_>) -> Option<u16> {
    u16::try_from(replica.port).ok().filter(|port| *port != 0)
}

fn is_at(replica: &crate::replication::source::ReplicaInfo<'_>, target: &Address) -> bool {
    replica.ip.eq_ignore_ascii_case(&target.host) && replica.port == i64::from(target.port)
}
