//! The whole topology under `kill -9`, drawn from a seed: nodes and sentinels are killed and paused at random under a load
//! that is not idempotent. After each stroke the world must come to rest: one master that all sentinels name, replicas
//! that equal it, nothing applied twice, nothing missing that was acknowledged, but what lies in exactly the tails that
//! were reported as thrown away in a failover.
//!
//! `REGENT_TORTURE_KILLS` says how many kills (20), `REGENT_TORTURE_SEED` repeats a run's choices (not its timing),
//! `REGENT_TEST_KEEP=1` leaves the directories.

#[path = "torture/faults.rs"]
mod faults;
#[path = "torture/ledger.rs"]
mod ledger;
#[path = "torture/load.rs"]
mod load;
#[path = "torture/oracle.rs"]
mod oracle;
mod support;
#[path = "torture/watch.rs"]
mod watch;

use faults::{Back, Fault, How, Target};
use ledger::Stamps;
use load::Load;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use support::{Dice, Lookups, Member, Topology, clock, wait_for, wait_until};
use watch::{Full, Watch};

/// What the sentinels are told.
const DOWN_AFTER_MS: u32 = 500;

/// A world that is not at rest after this is broken.
const REST: Duration = Duration::from_secs(60);

/// Tests may fingerprint the data, and a full copy need not wait for others to join it.
const DIRECTIVES: &str = "enable-debug-command yes\nrepl-diskless-sync-delay 0\n";

/// Rounds between two looks at what all earlier ones have left.
const LOOK_BACK: usize = 20;

struct Torture {
    seed: u64,
    dice: Dice,
    stamps: Arc<Stamps>,
    watch: Watch,
    lookups: Lookups,
    load: Arc<Load>,
    ids: Vec<String>,
    epoch: u64,
    kept: Vec<oracle::Kept>,
    tally: Tally,
    /// What was done, in order, and what is waited for.
    history: Vec<String>,
    waiting: String,
    topology: Topology,
}

/// What a run has seen.
#[derive(Default)]
struct Tally {
    rounds: usize,
    kills: usize,
    pauses: usize,
    failovers: u64,
    tails: usize,
    fulls: usize,
    acknowledged: usize,
    unknown: usize,
    lost: usize,
    lookups: usize,
    rests: Vec<Duration>,
    /// Without a write, where the master was killed and another one promoted.
    outages: Vec<Duration>,
}

/// Where the world stands.
struct Standing {
    master: usize,
    epoch: u64,
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn torture() {
    let seed = env("REGENT_TORTURE_SEED")
        .unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis() as u64);
    let kills = env("REGENT_TORTURE_KILLS").unwrap_or(20) as usize;
    println!("REGENT_TORTURE_SEED={seed}, {kills} kills");
    let mut torture = Torture::begin(seed);
    // A master that is killed as soon as the group is founded, and then whatever the dice say.
    let targets = vec![Target::Node(0)];
    let first = Fault { after: 1, targets, how: How::Kill, back: Back::Noticed, checkpoint: false };
    torture.round(vec![first]);
    while torture.tally.kills < kills {
        let standing = torture.standing().expect("it was at rest");
        let leader = torture.leader();
        let mut faults = vec![Fault::draw(&mut torture.dice, standing.master, leader)];
        // Not behind one that leaves a replica behind: that one takes the new id where it stands, and knows no better later
        // than that the old id ended there, so that a node which is further on takes a copy that it does not need.
        let behind = matches!(faults[0].how, How::Behind(_));
        if torture.dice.below(5) == 0 && !behind {
            faults.push(Fault::draw(&mut torture.dice, standing.master, leader));
        }
        torture.round(faults);
    }
    torture.look_back();
    std::mem::take(&mut torture.tally).print();
}

impl Torture {
    fn begin(seed: u64) -> Torture {
        let mut topology = Topology::with(3, DOWN_AFTER_MS, DIRECTIVES);
        topology.start();
        topology.wait_healthy();
        let stamps = Arc::new(Stamps::default());
        Torture {
            seed,
            dice: Dice(seed),
            watch: Watch::begin(&topology, &stamps),
            lookups: Lookups::begin(&topology.sentinels),
            load: Arc::new(Load::begin(&topology, seed, stamps.clone())),
            ids: topology.sentinels.iter().map(|sentinel| sentinel.text(&["SENTINEL", "MYID"])).collect(),
            epoch: 0,
            kept: Vec::new(),
            tally: Tally::default(),
            history: Vec::new(),
            waiting: String::new(),
            stamps,
            topology,
        }
    }

    /// Strokes, one after the other, then rest.
    fn round(&mut self, faults: Vec<Fault>) {
        let master = self.standing().map(|standing| standing.master);
        let mut struck = false;
        let mut noticed = false;
        for fault in &faults {
            self.load.wait_for_more(fault.after);
            self.watch.read(&self.topology, &self.stamps);
            let now = self.believed_master();
            struck |=
                master.as_ref().is_ok_and(|master| fault.strikes(*master)) || now.is_some_and(|now| fault.strikes(now));
            noticed |= now.is_some_and(|now| fault.strikes(now)) && fault.back == Back::Noticed;
            self.history.push(format!(
                "round {}: {fault} (master node{})",
                self.tally.rounds,
                now.map_or(0, |now| now + 1)
            ));
            println!("{}", self.history.last().expect("just pushed"));
            self.strike(fault, now);
        }
        let began = clock();
        let standing = self.wait_for_rest();
        self.tally.rests.push(began.elapsed());
        let gone = faults.len() == 1 && noticed;
        self.judge(&standing, &faults, struck, gone && faults[0].how == How::Kill);
        assert!(!gone || standing.epoch > self.epoch, "the master was gone, and there was no failover");
        self.tally.failovers += standing.epoch - self.epoch;
        self.epoch = standing.epoch;
        self.tally.rounds += 1;
        if self.tally.rounds.is_multiple_of(LOOK_BACK) {
            self.look_back();
        }
    }

    fn strike(&mut self, fault: &Fault, master: Option<usize>) {
        if fault.checkpoint {
            let node = self.dice.below(3) as usize;
            self.topology.nodes[node].text(&["BGSAVE"]);
        }
        if let How::Behind(writes) = fault.how {
            return self.leave_behind(fault, writes, master.expect("it was at rest"));
        }
        for &target in &fault.targets {
            match fault.how {
                How::Pause => self.member(target).signal(libc::SIGSTOP),
                _ => self.member(target).kill(),
            }
        }
        match fault.back {
            Back::AtOnce => {}
            Back::Writes(count) => self.load.wait_for_more(count),
            Back::Noticed => fault.targets.iter().for_each(|target| self.wait_noticed(fault, *target, master)),
        }
        for &target in &fault.targets {
            match fault.how {
                How::Pause => {
                    self.tally.pauses += 1;
                    self.member(target).signal(libc::SIGCONT);
                }
                _ => self.start_again(target),
            }
        }
    }

    fn start_again(&mut self, target: Target) {
        self.tally.kills += 1;
        // What it logged until its end is read before its counters begin anew.
        self.watch.read(&self.topology, &self.stamps);
        if let Target::Node(node) = target {
            self.watch.started(node);
        }
        self.member(target).start();
    }

    /// See [`How::Behind`].
    fn leave_behind(&mut self, fault: &Fault, writes: u64, master: usize) {
        let replicas: Vec<usize> = (0..3).filter(|node| *node != master && fault.strikes(*node)).collect();
        for &node in &replicas {
            self.topology.nodes[node].signal(libc::SIGSTOP);
        }
        self.load.wait_for_more(writes);
        let struck = self.topology.nodes.iter_mut().enumerate().filter(|(node, _)| fault.strikes(*node));
        struck.for_each(|(_, node)| node.kill());
        for &node in &replicas {
            self.start_again(Target::Node(node));
        }
        let port = self.topology.nodes[master].port.to_string();
        wait_until("another one is promoted", REST, || {
            self.topology.sentinels.iter().any(|one| one.master_fields().is_some_and(|fields| fields["port"] != port))
        });
        self.start_again(Target::Node(master));
    }

    fn member(&mut self, target: Target) -> &mut Member {
        match target {
            Target::Node(index) => &mut self.topology.nodes[index],
            Target::Sentinel(index) => &mut self.topology.sentinels[index],
        }
    }

    /// The sentinels that a fault has left running.
    fn running(&self, fault: &Fault) -> impl Iterator<Item = &Member> {
        let struck = |index: usize| fault.targets.contains(&Target::Sentinel(index));
        let running: Vec<&Member> = self
            .topology
            .sentinels
            .iter()
            .enumerate()
            .filter(|(at, _)| !struck(*at))
            .map(|(_, member)| member)
            .collect();
        running.into_iter()
    }

    /// Waits until the others believe it down, or have another master.
    #[track_caller]
    fn wait_noticed(&self, fault: &Fault, target: Target, master: Option<usize>) {
        let list = |member: &Member, which: &str, port: u16| {
            member.listed(which).iter().any(|one| one["port"] == port.to_string() && one["flags"].contains("s_down"))
        };
        wait_until(&format!("it is noticed that {target:?} is gone"), REST, || match target {
            Target::Node(node) if Some(node) == master => self.running(fault).any(|sentinel| {
                let named = sentinel.master_fields();
                named.is_some_and(|fields| fields["port"] != self.topology.nodes[node].port.to_string())
            }),
            Target::Node(node) => {
                let port = self.topology.nodes[node].port;
                // Or it has become the master meanwhile.
                self.running(fault).any(|sentinel| {
                    let named = sentinel.master_fields().is_some_and(|fields| fields["port"] == port.to_string());
                    named || list(sentinel, "REPLICAS", port)
                })
            }
            Target::Sentinel(index) => {
                let port = self.topology.sentinels[index].port;
                self.running(fault).any(|sentinel| list(sentinel, "SENTINELS", port))
            }
        });
    }

    /// The master that the first sentinel which answers names.
    fn believed_master(&self) -> Option<usize> {
        let named = self.topology.sentinels.iter().find_map(Member::master_fields)?;
        self.topology.nodes.iter().position(|node| node.port.to_string() == named["port"])
    }

    /// The sentinel that leads the group.
    fn leader(&self) -> Option<usize> {
        let leads = |sentinel: &Member| {
            sentinel.try_info("sentinel").is_some_and(|info| info.find("regent_group_role") == Some("leader"))
        };
        self.topology.sentinels.iter().position(leads)
    }

    /// One master for all, with all that belongs to it, or what is amiss.
    fn standing(&self) -> Result<Standing, String> {
        let mut named = None;
        for (sentinel, id) in self.topology.sentinels.iter().zip(&self.ids) {
            let name = &sentinel.name;
            let fields = sentinel.master_fields().ok_or(format!("{name} does not answer"))?;
            let quorum = sentinel.text(&["SENTINEL", "CKQUORUM", "myMaster"]);
            if !quorum.starts_with("OK 3 usable Sentinels.") {
                return Err(format!("{name}: {quorum}"));
            }
            if fields["flags"] != "master" || fields["num-slaves"] != "2" {
                return Err(format!("{name}: flags {}, {} replicas", fields["flags"], fields["num-slaves"]));
            }
            let told = (fields["config-epoch"].clone(), fields["port"].clone());
            if *named.get_or_insert(told.clone()) != told {
                return Err(format!("{name} names {told:?}, another one {named:?}"));
            }
            if sentinel.text(&["SENTINEL", "MYID"]) != *id {
                return Err(format!("{name} has another id"));
            }
        }
        let (epoch, port) = named.ok_or("no sentinels")?;
        let epoch = epoch.parse().map_err(|_| format!("epoch {epoch}"))?;
        let master = self.topology.nodes.iter().position(|node| node.port.to_string() == port).ok_or("no such node")?;
        let info = self.topology.nodes[master].try_info("replication").ok_or("the master does not answer")?;
        if info.find("role") != Some("master") || info.find("min_slaves_good_slaves") != Some("2") {
            return Err(format!("{} has not two good replicas: {info:?}", self.topology.nodes[master].name));
        }
        Ok(Standing { master, epoch })
    }

    /// The replicas have what the master has.
    fn equal(&self, master: usize) -> Result<(), String> {
        let master = &self.topology.nodes[master];
        let before = master.try_info("replication").ok_or("no INFO")?;
        let digest = master.text(&["DEBUG", "DIGEST"]);
        for node in self.topology.nodes.iter().filter(|node| node.port != master.port) {
            let info = node.try_info("replication").ok_or("no INFO")?;
            for (own, theirs) in [("slave_repl_offset", "master_repl_offset"), ("master_replid", "master_replid")] {
                if info.find(own) != before.find(theirs) {
                    return Err(format!("{} has another {own} than {}: {info:?}, {before:?}", node.name, master.name));
                }
            }
            let own = node.text(&["DEBUG", "DIGEST"]);
            let after = master.try_info("replication").ok_or("no INFO")?;
            if own != digest && before.find("master_repl_offset") == after.find("master_repl_offset") {
                return Err(format!("{}: {own}, {}: {digest}, at the same offset", node.name, master.name));
            }
            if own != digest {
                return Err("more was written".into());
            }
        }
        Ok(())
    }

    /// Waits for a value, noting what is amiss meanwhile.
    #[track_caller]
    fn wait<T>(&mut self, what: &str, value: impl Fn(&Torture) -> Result<T, String>) -> T {
        wait_for(what, REST, || match value(self) {
            Ok(value) => Some(value),
            Err(why) => {
                self.waiting = why;
                None
            }
        })
    }

    #[track_caller]
    fn wait_for_rest(&mut self) -> Standing {
        self.wait("all sentinels name one master that feeds both others", Torture::standing);
        self.load.wait_for_all();
        self.wait("it is so while all clients write", Torture::standing)
    }

    /// Stops the clients, compares all with all, and lets them go on. `struck`: the master was among those struck.
    #[track_caller]
    fn judge(&mut self, standing: &Standing, faults: &[Fault], struck: bool, measured: bool) {
        let load = self.load.clone();
        let outage = load.gap();
        let judged = load.rest(|round, ledger| {
            self.wait("the replicas equal the master", |torture| torture.equal(standing.master));
            self.watch.read(&self.topology, &self.stamps);
            let promoted = standing.epoch > self.epoch;
            if promoted && !struck {
                return Err("the master was left alone, and there was a failover".to_string());
            }
            if !promoted && self.standing()?.epoch != self.epoch {
                return Err("the world was not at rest".to_string());
            }
            let fulls = std::mem::take(&mut self.watch.fulls);
            if let Some(full) = fulls.iter().find(|full| !full.diverged || !promoted) {
                let (from, to) = (self.epoch, standing.epoch);
                let Full { by, reason, .. } = full;
                return Err(format!("{by} served a full copy that was not due, epochs {from} to {to}: {reason}"));
            }
            self.watch.counted(&self.topology)?;
            let master = &self.topology.nodes[standing.master];
            if self.watch.masters.last() != Some(&master.port) {
                return Err(format!("{} is the master, and the logs tell of {:?}", master.name, self.watch.masters));
            }
            let tails = std::mem::take(&mut self.watch.tails);
            // A master that goes on before the replicas were told of another one still feeds them.
            let gone = faults.iter().all(|fault| fault.how != How::Pause && fault.back != Back::AtOnce);
            let alone = |node: usize| faults.len() == 1 && gone && !faults[0].strikes(node);
            if let Some(tail) = tails.iter().find(|tail| alone(tail.node)) {
                return Err(format!("a replica that was left alone was ahead of the one that was promoted: {tail:?}"));
            }
            let verdict = oracle::judge(master, round, &ledger, &tails)?;
            let tally = &mut self.tally;
            tally.lookups += self.lookups.judge(&self.watch.masters)?;
            tally.fulls += fulls.len();
            tally.tails += tails.len();
            tally.acknowledged += verdict.acknowledged;
            tally.unknown += verdict.unknown;
            tally.lost += verdict.lost;
            if measured && promoted {
                tally.outages.push(outage);
            }
            self.kept.extend(verdict.kept);
            let promotion = if promoted { format!(", {} promoted", master.name) } else { String::new() };
            let (sure, unknown, lost) = (verdict.acknowledged, verdict.unknown, verdict.lost);
            let promotion = match measured && promoted {
                true => format!("{promotion}, {} ms without a write", outage.as_millis()),
                false => promotion,
            };
            let line = format!("  {sure} acknowledged, {unknown} unknown, {lost} lost in {tails:?}{promotion}");
            println!("{line}");
            self.history.push(line);
            Ok(())
        });
        if let Err(why) = judged {
            panic!("{why}");
        }
    }

    fn look_back(&mut self) {
        let master = self.wait("all name one master", Torture::standing).master;
        if let Err(why) = oracle::unchanged(&self.topology.nodes[master], &self.kept) {
            panic!("{why}");
        }
    }
}

impl Drop for Torture {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.seed;
            eprintln!("---- REGENT_TORTURE_SEED={seed}\n{}\n---- {}", self.history.join("\n"), self.waiting);
        }
    }
}

impl Tally {
    fn print(mut self) {
        let spread = |spans: &mut Vec<Duration>| {
            spans.sort();
            let ms = |at: usize| spans.get(at).map_or(0, Duration::as_millis);
            format!(
                "median {} ms, max {} ms of {}",
                ms(spans.len() / 2),
                ms(spans.len().saturating_sub(1)),
                spans.len()
            )
        };
        println!(
            "{} kills, {} pauses in {} rounds; {} failovers, {} full copies, {} tails thrown away",
            self.kills, self.pauses, self.rounds, self.failovers, self.fulls, self.tails
        );
        println!(
            "{} writes acknowledged, {} of them lost in those tails, {} without an answer; {} look-ups",
            self.acknowledged, self.lost, self.unknown, self.lookups
        );
        println!("at rest after the last stroke: {}", spread(&mut self.rests));
        println!("no write, with down-after {DOWN_AFTER_MS} ms: {}", spread(&mut self.outages));
    }
}
