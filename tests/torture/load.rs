//! The load: clients that find the master through the sentinels, write what must not be applied twice, and keep a ledger.

use crate::ledger::{Fate, Kind, Op, Stamps};
use crate::support::{ALL_ALONG, Client, Dice, Topology, WORKS, clock, master_port, wait_for, wait_until};
use regent::resp::{Frame, command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients that write at once.
pub const CLIENTS: usize = 4;

/// Operations between two looks at whether to go on.
const BURST: usize = 20;

/// A node that says nothing for so long is given up: what it was asked is unknown. Some wait until a paused master goes
/// on, which has been deposed meanwhile and does not know it yet.
const PATIENCE: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(4)];

/// The database that a client writes to.
pub fn database(client: usize) -> usize {
    client % 2 * 5
}

/// The key of a client in a round.
pub fn key(round: u64, client: usize, name: &str) -> String {
    format!("{round}:{client}:{name}")
}

/// The counter of all clients of one database in a round.
pub fn common_key(round: u64) -> String {
    format!("{round}:all")
}

struct Shared {
    nodes: Vec<u16>,
    sentinels: Vec<u16>,
    stop: AtomicBool,
    /// Held for reading while a client writes.
    open: RwLock<()>,
    round: AtomicU64,
    stamps: Arc<Stamps>,
    acknowledged: [AtomicU64; CLIENTS],
    ledger: Mutex<Vec<Op>>,
    /// When the last write was acknowledged, and the longest span between two of these in this round.
    pace: Mutex<(Option<Instant>, Duration)>,
}

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    _threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends the clients to work.
    pub fn begin(topology: &Topology, seed: u64, stamps: Arc<Stamps>) -> Load {
        let shared = Arc::new(Shared {
            nodes: topology.nodes.iter().map(|node| node.port).collect(),
            sentinels: topology.sentinels.iter().map(|sentinel| sentinel.port).collect(),
            stop: AtomicBool::new(false),
            open: RwLock::new(()),
            round: AtomicU64::new(0),
            stamps,
            acknowledged: Default::default(),
            ledger: Mutex::default(),
            pace: Mutex::default(),
        });
        let clients = (0..CLIENTS).map(|number| {
            let dice = Dice(seed.wrapping_mul(31).wrapping_add(number as u64));
            let mut writer = Writer { shared: shared.clone(), number, dice, connection: None, next: (0, 0) };
            std::thread::spawn(move || {
                wait_for("the torture ends", ALL_ALONG, || {
                    writer.burst();
                    writer.shared.stop.load(Ordering::SeqCst).then_some(())
                });
            })
        });
        let threads = clients.collect();
        Load { shared, _threads: threads }
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Waits until so many more were.
    #[track_caller]
    pub fn wait_for_more(&self, count: u64) {
        let before = self.acknowledged();
        wait_until(&format!("{count} more writes are acknowledged"), WORKS, || self.acknowledged() >= before + count);
    }

    /// Waits until each client has had more acknowledged.
    #[track_caller]
    pub fn wait_for_all(&self) {
        let before: Vec<u64> = self.shared.acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        wait_until("each client's writes are acknowledged", WORKS, || {
            let now = self.shared.acknowledged.iter().map(|count| count.load(Ordering::SeqCst));
            now.zip(&before).all(|(now, before)| now > before + 3)
        });
    }

    /// Stops all clients, lets `look` look at what they did in this round, and sends them into the next one.
    pub fn rest<T>(&self, look: impl FnOnce(u64, Vec<Op>) -> T) -> T {
        let _closed = self.shared.open.write().expect("not poisoned");
        let ledger = std::mem::take(&mut *self.shared.ledger.lock().expect("not poisoned"));
        let result = look(self.shared.round.load(Ordering::SeqCst), ledger);
        self.shared.round.fetch_add(1, Ordering::SeqCst);
        *self.shared.pace.lock().expect("not poisoned") = (None, Duration::ZERO);
        result
    }

    /// The longest time of this round in which no write was acknowledged.
    pub fn gap(&self) -> Duration {
        self.shared.pace.lock().expect("not poisoned").1
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

/// One client.
struct Writer {
    shared: Arc<Shared>,
    number: usize,
    dice: Dice,
    /// The node by its index, and the connection to it.
    connection: Option<(usize, Client)>,
    /// The next operation's number, in this round.
    next: (u64, u64),
}

/// How an operation ended.
enum Ended {
    Acknowledged { from: Option<i64>, to: Option<i64> },
    Refused,
    Unknown { from: Option<i64> },
}

impl Writer {
    /// Some operations; it ends with the first that fails.
    fn burst(&mut self) {
        let shared = self.shared.clone();
        let Ok(_open) = shared.open.read() else { return };
        let round = shared.round.load(Ordering::SeqCst);
        if self.next.0 != round {
            self.next = (round, 0);
        }
        for _ in 0..BURST {
            if self.connection.is_none() {
                self.connection = self.find_master();
            }
            if self.connection.is_none() || !self.operate(round) {
                self.connection = None;
                return;
            }
        }
    }

    /// Asks any sentinel, and connects to the node that it names.
    fn find_master(&mut self) -> Option<(usize, Client)> {
        let sentinel = self.shared.sentinels[self.dice.below(self.shared.sentinels.len() as u64) as usize];
        let port = master_port(&mut None, sentinel)?;
        let node = self.shared.nodes.iter().position(|known| *known == port)?;
        let mut client = Client::connect(port).ok()?;
        client.patience(PATIENCE[self.number / 2 % PATIENCE.len()]);
        let database = database(self.number).to_string();
        client.try_cmd(&["SELECT", &database]).ok().filter(Frame::is_ok)?;
        Some((node, client))
    }

    /// One operation; whether the connection may be used on.
    fn operate(&mut self, round: u64) -> bool {
        let number = self.next.1;
        self.next.1 += 1;
        let kind = match self.dice.below(20) {
            0..3 => Kind::Append,
            3..5 => Kind::Entry,
            5..8 => Kind::Incr,
            8..12 => Kind::Multi,
            12..15 => Kind::SetRange,
            15..17 => Kind::Set,
            17 => Kind::Unlink,
            _ => Kind::Brief,
        };
        let commands = self.commands(round, kind, number);
        let Some((node, client)) = &mut self.connection else { return false };
        let node = *node;
        let ended = exchange(client, &commands);
        let (fate, from, to) = match ended {
            Ended::Refused => return false,
            Ended::Acknowledged { from, to } => (Fate::Acknowledged, from, to),
            Ended::Unknown { from } => (Fate::Unknown, from, None),
        };
        let shared = &self.shared;
        let op = Op { client: self.number, number, kind, fate, node, from, to, ended: shared.stamps.next() };
        shared.ledger.lock().expect("not poisoned").push(op);
        if fate == Fate::Unknown {
            return false;
        }
        {
            let mut pace = shared.pace.lock().expect("not poisoned");
            let now = clock();
            let gap = pace.0.map_or(Duration::ZERO, |before| now - before);
            *pace = (Some(now), pace.1.max(gap));
        }
        shared.acknowledged[self.number].fetch_add(1, Ordering::SeqCst);
        to.is_some()
    }

    fn commands(&mut self, round: u64, kind: Kind, number: u64) -> Vec<Vec<String>> {
        let own = |name: &str| key(round, self.number, name);
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<String>>();
        let mark = format!(";{number}");
        match kind {
            Kind::Append => vec![words(&["APPEND", &own("log"), &mark])],
            Kind::Entry => vec![words(&["XADD", &own("stream"), "*", "n", &number.to_string()])],
            Kind::Incr => vec![words(&["INCR", &own("count")])],
            Kind::Multi => vec![
                words(&["MULTI"]),
                words(&["INCR", &own("one")]),
                words(&["APPEND", &own("multi"), &mark]),
                words(&["INCR", &common_key(round)]),
                words(&["INCR", &own("two")]),
                words(&["EXEC"]),
            ],
            Kind::SetRange => vec![words(&["SETRANGE", &own("map"), &number.to_string(), "x"])],
            Kind::Set => vec![words(&["SET", &own("register"), &number.to_string()])],
            Kind::Unlink => vec![words(&["UNLINK", &own("register")])],
            Kind::Brief => {
                let span = (20 + self.dice.below(200)).to_string();
                let brief = own(&format!("brief{}", self.dice.below(8)));
                match self.dice.below(3) {
                    0 => vec![words(&["SET", &brief, &mark, "PX", &span])],
                    1 => vec![words(&["INCR", &own("fuse")]), words(&["PEXPIRE", &own("fuse"), &span])],
                    _ => vec![words(&["APPEND", &brief, &mark])],
                }
            }
        }
    }
}

/// Sends the commands between two ROLEs, which tell the offsets in front of and behind them.
fn exchange(client: &mut Client, commands: &[Vec<String>]) -> Ended {
    let mut request = Vec::new();
    command(&["ROLE"], &mut request);
    commands.iter().for_each(|words| command(words, &mut request));
    command(&["ROLE"], &mut request);
    // A request that could not even be sent whole may have been taken in part.
    if client.send_raw(&request).is_err() {
        return Ended::Unknown { from: None };
    }
    let Ok(role) = client.receive() else { return Ended::Unknown { from: None } };
    let from = offset(&role);
    let mut refused = false;
    for _ in commands {
        match client.receive() {
            Ok(Frame::Error(_)) => refused = true,
            Ok(Frame::Array(items)) if items.iter().any(|item| matches!(item, Frame::Error(_))) => refused = true,
            Ok(_) => {}
            Err(_) if refused => return Ended::Refused,
            Err(_) => return Ended::Unknown { from },
        }
    }
    if refused {
        return Ended::Refused;
    }
    let to = client.receive().ok().as_ref().and_then(offset);
    Ended::Acknowledged { from, to }
}

/// A master's offset, from its reply to ROLE.
fn offset(role: &Frame) -> Option<i64> {
    let items = role.items()?;
    let master = items.first()?.text()? == b"master";
    items.get(1).filter(|_| master)?.int()
}
