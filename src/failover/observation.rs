//! One sentinel's opinion of one instance: is it subjectively down, since when, and when will it be.
//!
//! The rules are those of Redis Sentinel: a ping that no valid reply (PONG, LOADING, MASTERDOWN) has answered for
//! longer than down-after; a broken link, counted from its end; a master that has called itself a replica
//! for longer than down-after and two INFO periods; a rebooted master that stays unready for longer than
//! reboot-down-after. What differs: where no reboot-down-after is set, a native master that has read its store for longer
//! than down-after is down (a Redis is waited for without end, as Redis' Sentinel does); the moment is exact (`next_deadline`) and not polled, and a pause of the sentinel's
//! own process is not held against the instance: the count starts anew, where Redis would go into TILT for 30 s.

use crate::base::{Millis, RunId};

/// A tick this late means that the sentinel itself did not run (`SENTINEL_TILT_TRIGGER`).
pub const STALL_MS: Millis = Millis(2_000);

/// How long `sentinel_tilt` is shown after a stall (`SENTINEL_TILT_PERIOD`).
pub const TILT_PERIOD_MS: Millis = Millis(30_000);

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Master,
    Replica,
    Sentinel,
}

/// The spans that the rules count with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub down_after: Millis,
    pub info_period: Millis,
    /// Zero: a reboot by itself is no trouble (the default of Redis).
    pub reboot_down_after: Millis,
}

/// What happened to the instance's link, at the time given to [`Observation::step`] (monotonic clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    LinkUp,
    LinkBroken,
    PingSent,
    /// A reply to PING.
    Replied(PingReply),
    /// INFO was read.
    Info {
        is_master: bool,
        runid: Option<RunId>,
        /// It is a native node at its start.
        reads_store: bool,
    },
    /// The clock, asked for at `due`: only here does an instance go down.
    Tick {
        due: Millis,
    },
    /// The sentinel's own process stood still until now ([`Pulse`] says so).
    Stalled,
}

/// A reply to PING, by its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingReply {
    Pong,
    Loading,
    MasterDown,
    /// Busy with a script: a reason for SCRIPT KILL once the instance is down.
    Busy,
    /// Anything else (MISCONF, NOAUTH, ...) answers the ping for the figures and not for the rule.
    Other,
}

impl PingReply {
    /// Reads the status or error text of a reply.
    pub fn parse(text: &[u8]) -> PingReply {
        match text {
            t if t.starts_with(b"PONG") => PingReply::Pong,
            t if t.starts_with(b"LOADING") => PingReply::Loading,
            t if t.starts_with(b"MASTERDOWN") => PingReply::MasterDown,
            t if t.starts_with(b"BUSY") => PingReply::Busy,
            _ => PingReply::Other,
        }
    }
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// `+sdown`.
    Down,
    /// `-sdown`.
    Up,
    /// `+reboot` of a master.
    Rebooted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    Answered,
    /// No valid reply since then (the first of the unanswered ones).
    Waiting {
        since: Millis,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Up,
    Down { since: Millis },
}

/// The opinion of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    kind: Kind,
    timing: Timing,
    link: Link,
    ping: Ping,
    status: Status,
    ping_sent: Option<Millis>,
    last_valid: Millis,
    /// Where a broken link's silence is counted from: its end, or the end of a pause of our own. (Redis counts from the
    /// last valid reply, so that a node which is back within down-after may still be failed over.)
    heard: Millis,
    last_reply: Millis,
    runid: Option<RunId>,
    /// The role that it reports, and since when: only another role than it should have is timed.
    role_wrong: Option<Millis>,
    role_reported: (bool, Millis),
    rebooted: Option<Millis>,
    /// Since when it has said LOADING, and nothing better; and whether it is known to read its own store.
    loading: Option<Millis>,
    reads_store: bool,
}

impl Observation {
    /// An instance never heard of: as in Redis, the count begins now, so that one that never answers goes down too.
    pub fn new(kind: Kind, timing: Timing, now: Millis) -> Observation {
        Observation {
            kind,
            timing,
            link: Link::Broken,
            ping: Ping::Waiting { since: now },
            status: Status::Up,
            ping_sent: None,
            last_valid: now,
            heard: now,
            last_reply: now,
            runid: None,
            role_wrong: None,
            role_reported: (kind == Kind::Master, now),
            rebooted: None,
            loading: None,
            reads_store: false,
        }
    }

    /// Takes in what happened at `now`.
    pub fn step(&mut self, now: Millis, event: Event) -> Change {
        match event {
            Event::LinkUp => self.link = Link::Up,
            Event::LinkBroken => {
                // A connection that breaks with nothing owed on it was alive until now: the silence begins here.
                if self.link == Link::Up && self.ping == Ping::Answered {
                    self.heard = now;
                }
                self.link = Link::Broken;
            }
            Event::PingSent => {
                self.ping_sent = Some(now);
                if self.ping == Ping::Answered {
                    self.ping = Ping::Waiting { since: now };
                }
            }
            Event::Replied(reply) => {
                self.last_reply = now;
                if matches!(reply, PingReply::Pong | PingReply::Loading | PingReply::MasterDown) {
                    (self.last_valid, self.heard, self.ping) = (now, now, Ping::Answered);
                }
                if reply == PingReply::Pong {
                    self.rebooted = None;
                }
                self.loading = (reply == PingReply::Loading).then(|| self.loading.unwrap_or(now));
            }
            Event::Info { is_master, runid, reads_store } => {
                self.reads_store = reads_store;
                if self.informed(now, is_master, runid) {
                    return Change::Rebooted;
                }
            }
            Event::Stalled => self.start_anew(now),
            Event::Tick { due } => {
                if now.since(due) > self.stall_bound() && !planted_pause_blind() {
                    self.start_anew(now);
                }
                return self.judge(now);
            }
        }
        // A good sign lifts the verdict at once; a bad one waits for the tick, which knows of pauses.
        match self.status {
            Status::Down { .. } if self.deadline().is_none_or(|at| now < at) => {
                self.status = Status::Up;
                Change::Up
            }
            _ => Change::None,
        }
    }

    /// Whether it runs under another run id than before.
    fn informed(&mut self, now: Millis, is_master: bool, runid: Option<RunId>) -> bool {
        if self.role_reported.0 != is_master {
            self.role_reported = (is_master, now);
        }
        let wrong = self.kind == Kind::Master && !is_master;
        self.role_wrong = if wrong { self.role_wrong.or(Some(now)) } else { None };
        let rebooted = runid.is_some() && self.runid.is_some() && runid != self.runid;
        self.runid = runid.or(self.runid);
        if rebooted && self.kind == Kind::Master && self.timing.reboot_down_after.0 > 0 {
            self.rebooted = self.rebooted.or(Some(now));
        }
        rebooted
    }

    fn judge(&mut self, now: Millis) -> Change {
        let down = self.deadline().is_some_and(|at| now >= at);
        match (self.status, down) {
            (Status::Up, true) => {
                self.status = Status::Down { since: now };
                Change::Down
            }
            (Status::Down { .. }, false) => {
                self.status = Status::Up;
                Change::Up
            }
            _ => Change::None,
        }
    }

    /// A pause of our own says nothing of the instance: what was counted until now is void. One that is down already
    /// stays down until it shows a sign.
    fn start_anew(&mut self, now: Millis) {
        if self.status != Status::Up {
            return;
        }
        if let Ping::Waiting { since } = &mut self.ping {
            *since = now;
        }
        self.heard = now;
        self.role_wrong = self.role_wrong.map(|_| now);
        self.rebooted = self.rebooted.map(|_| now);
        self.loading = self.loading.map(|_| now);
    }

    /// The bound on a tick's lateness: a short down-after leaves less room for a pause.
    fn stall_bound(&self) -> Millis {
        STALL_MS.min(Millis(self.timing.down_after.0 / 2))
    }

    /// The first moment at which the instance is down if nothing more is heard; it may have passed.
    fn deadline(&self) -> Option<Millis> {
        let silent = match (self.ping, self.link) {
            (Ping::Waiting { since }, _) => Some(since + self.timing.down_after),
            (Ping::Answered, Link::Broken) => Some(self.heard + self.timing.down_after),
            (Ping::Answered, Link::Up) => None,
        };
        let slack = Millis(self.timing.info_period.0.saturating_mul(2));
        let role = self.role_wrong.map(|since| since + self.timing.down_after + slack);
        let reboot = self.rebooted.map(|since| since + self.timing.reboot_down_after);
        let counts = self.kind == Kind::Master && self.reads_store && self.timing.reboot_down_after.0 == 0;
        let loading = self.loading.filter(|_| counts).map(|since| since + self.timing.down_after);
        [silent, role, reboot, loading].into_iter().flatten().min().map(|at| at + Millis(1))
    }

    /// When to send the next [`Event::Tick`] (with this moment as `due`) if nothing happens before; `None`: never.
    pub fn next_deadline(&self) -> Option<Millis> {
        if self.is_down() { None } else { self.deadline() }
    }

    pub fn is_down(&self) -> bool {
        self.status != Status::Up
    }

    /// Since when it is down (`s-down-time` counts from here).
    pub fn down_since(&self) -> Option<Millis> {
        match self.status {
            Status::Down { since } => Some(since),
            Status::Up => None,
        }
    }

    /// The link is broken (`disconnected`).
    pub fn is_disconnected(&self) -> bool {
        self.link == Link::Broken
    }

    /// `last-ping-sent`: how long the first unanswered ping has waited, zero when answered.
    pub fn ping_waiting(&self, now: Millis) -> Millis {
        match self.ping {
            Ping::Waiting { since } => now.since(since),
            Ping::Answered => Millis(0),
        }
    }

    /// When the last valid reply came (`last-ok-ping-reply`).
    pub fn last_valid(&self) -> Millis {
        self.last_valid
    }

    /// When the last reply of any kind came (`last-ping-reply`).
    pub fn last_reply(&self) -> Millis {
        self.last_reply
    }

    /// When the last PING left.
    pub fn ping_sent(&self) -> Option<Millis> {
        self.ping_sent
    }

    /// Whether it last called itself a master, and since when (`role-reported`, `role-reported-time`).
    pub fn role_reported(&self) -> (bool, Millis) {
        self.role_reported
    }

    /// `master_reboot` among the flags.
    pub fn is_rebooting(&self) -> bool {
        self.rebooted.is_some()
    }

    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// The instance has another part from now on (a failover, an address that moved).
    pub fn set_kind(&mut self, kind: Kind, now: Millis) {
        if self.kind == kind {
            return;
        }
        self.kind = kind;
        let wrong = kind == Kind::Master && !self.role_reported.0;
        self.role_wrong = wrong.then_some(now);
        if kind != Kind::Master {
            self.rebooted = None;
        }
    }

    /// Whether the link should be given up for a new one although it looks up: half of down-after without any reply.
    pub fn wants_reconnect(&self, now: Millis) -> bool {
        let half = Millis(self.timing.down_after.0 / 2);
        self.link == Link::Up && self.ping_waiting(now) > half && now.since(self.last_reply) > half
    }
}

fn planted_pause_blind() -> bool {
    super::plant::planted!(PauseBlind)
}

/// Whether this process itself ran all the time: fed by one periodic tick of the sentinel, asked by all observations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    tilt_since: Option<Millis>,
    stalls: u64,
}

impl Pulse {
    /// The periodic tick that was due at `due` runs at `now`. `true`: the process stood still in between, and every
    /// observation must hear [`Event::Stalled`] before anything else.
    pub fn tick(&mut self, now: Millis, due: Millis) -> bool {
        let stalled = now.since(due) > STALL_MS || due.since(now) > STALL_MS;
        if stalled {
            self.stalls += 1;
            self.tilt_since = Some(now);
        } else if self.tilt_since.is_some_and(|since| now.since(since) > TILT_PERIOD_MS) {
            self.tilt_since = None;
        }
        stalled
    }

    /// Since when `sentinel_tilt` is shown. For the figures only: nothing waits for its end.
    pub fn tilt_since(&self) -> Option<Millis> {
        self.tilt_since
    }

    /// Stalls since the start (`sentinel_total_tilt`).
    pub fn stalls(&self) -> u64 {
        self.stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing =
        Timing { down_after: Millis(5000), info_period: Millis(10_000), reboot_down_after: Millis(0) };

    fn at(ms: i64) -> Millis {
        Millis(ms)
    }

    fn healthy(kind: Kind) -> Observation {
        let mut seen = Observation::new(kind, TIMING, at(0));
        seen.step(at(0), Event::LinkUp);
        seen.step(at(1), Event::PingSent);
        seen.step(at(2), Event::Replied(PingReply::Pong));
        seen
    }

    fn info(is_master: bool, runid: Option<RunId>) -> Event {
        Event::Info { is_master, runid, reads_store: false }
    }

    fn tick(seen: &mut Observation, ms: i64) -> Change {
        seen.step(at(ms), Event::Tick { due: at(ms) })
    }

    #[test]
    fn an_unanswered_ping_counts_from_the_first_and_the_moment_is_exact() {
        let mut seen = healthy(Kind::Master);
        assert_eq!(seen.next_deadline(), None);
        seen.step(at(1000), Event::PingSent);
        seen.step(at(2000), Event::PingSent);
        seen.step(at(2100), Event::Replied(PingReply::Other));
        assert_eq!(seen.next_deadline(), Some(at(6001)), "MISCONF is no valid reply");
        assert_eq!(tick(&mut seen, 6000), Change::None);
        assert_eq!(tick(&mut seen, 6001), Change::Down);
        assert_eq!(seen.down_since(), Some(at(6001)));
        assert_eq!(seen.step(at(6500), Event::Replied(PingReply::Loading)), Change::Up);
    }

    #[test]
    fn a_broken_link_counts_from_its_end() {
        let mut seen = healthy(Kind::Replica);
        seen.step(at(800), Event::LinkBroken);
        assert_eq!(seen.next_deadline(), Some(at(5801)));
        let mut back = seen.clone();
        back.step(at(900), Event::LinkUp);
        assert_eq!(back.next_deadline(), None);
        assert_eq!(tick(&mut seen, 5801), Change::Down);
        assert_eq!(seen.step(at(5900), Event::LinkUp), Change::Up);
    }

    #[test]
    fn one_that_never_answered_goes_down() {
        let mut seen = Observation::new(Kind::Sentinel, TIMING, at(100));
        assert_eq!(seen.next_deadline(), Some(at(5101)));
        assert_eq!(tick(&mut seen, 5101), Change::Down);
    }

    #[test]
    fn a_master_that_calls_itself_a_replica() {
        let mut seen = healthy(Kind::Master);
        seen.step(at(100), info(false, None));
        seen.step(at(10_100), info(false, None));
        assert_eq!(seen.next_deadline(), Some(at(25_101)));
        assert_eq!(tick(&mut seen, 25_101), Change::Down);
        assert_eq!(seen.step(at(25_200), info(true, None)), Change::Up);
        let mut replica = healthy(Kind::Replica);
        replica.step(at(100), info(true, None));
        assert_eq!(replica.next_deadline(), None);
    }

    #[test]
    fn a_reboot_is_timed_until_the_first_pong() {
        let id = |byte| Some(RunId::from_random([byte; 20]));
        let mut seen = healthy(Kind::Master);
        seen.set_timing(Timing { reboot_down_after: Millis(300), ..TIMING });
        seen.step(at(10), info(true, id(1)));
        assert_eq!(seen.step(at(50), info(true, id(2))), Change::Rebooted);
        seen.step(at(60), Event::Replied(PingReply::Loading));
        assert_eq!(seen.next_deadline(), Some(at(351)));
        seen.step(at(70), Event::Replied(PingReply::Pong));
        assert_eq!(seen.next_deadline(), None);
    }

    #[test]
    fn a_native_master_that_reads_its_store_has_down_after_for_it() {
        let reads = Event::Info { is_master: true, runid: None, reads_store: true };
        let mut seen = healthy(Kind::Master);
        seen.step(at(900), reads);
        for second in 1..=6 {
            seen.step(at(1000 * second - 10), Event::PingSent);
            assert_eq!(seen.step(at(1000 * second), Event::Replied(PingReply::Loading)), Change::None);
            assert_eq!(seen.next_deadline(), Some(at(6001)), "its first LOADING counts");
        }
        assert_eq!(tick(&mut seen, 6001), Change::Down);
        seen.step(at(6990), Event::PingSent);
        assert_eq!(seen.step(at(7000), Event::Replied(PingReply::Loading)), Change::None, "it still loads");
        seen.step(at(7990), Event::PingSent);
        assert_eq!(seen.step(at(8000), Event::Replied(PingReply::Pong)), Change::Up);

        let mut patient = healthy(Kind::Master);
        patient.set_timing(Timing { reboot_down_after: Millis(60_000), ..TIMING });
        let (mut replica, mut other) = (healthy(Kind::Replica), healthy(Kind::Master));
        for seen in [&mut patient, &mut replica] {
            seen.step(at(900), reads);
        }
        for seen in [&mut patient, &mut replica, &mut other] {
            seen.step(at(1000), Event::Replied(PingReply::Loading));
            assert_eq!(seen.next_deadline(), None, "a limit of its own, or none");
        }
    }

    // A sentinel stopped for 20 s woke with all its pings overdue and called every master down.
    #[test]
    fn its_own_pause_is_not_held_against_the_instance() {
        let mut seen = healthy(Kind::Master);
        seen.step(at(1000), Event::PingSent);
        let due = seen.next_deadline().unwrap();
        assert_eq!(seen.step(at(21_000), Event::Tick { due }), Change::None);
        assert_eq!(seen.next_deadline(), Some(at(26_001)));
        assert_eq!(tick(&mut seen, 26_001), Change::Down);
        let mut other = healthy(Kind::Master);
        other.step(at(1000), Event::LinkBroken);
        other.step(at(4900), Event::Stalled);
        assert_eq!(other.next_deadline(), Some(at(9901)));
    }

    #[test]
    fn tilt_is_shown_and_ends() {
        let mut pulse = Pulse::default();
        assert!(!pulse.tick(at(1000), at(990)));
        assert!(pulse.tick(at(5000), at(1100)));
        assert_eq!((pulse.tilt_since(), pulse.stalls()), (Some(at(5000)), 1));
        assert!(!pulse.tick(at(35_001), at(35_000)));
        assert_eq!(pulse.tilt_since(), None);
    }
}
