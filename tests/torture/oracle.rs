//! What the data must hold, from the ledger of the clients and the reports of thrown away tails.

use crate::ledger::{Expected, Fate, Kind, Op, Tail};
use crate::load::{CLIENTS, common_key, database, key};
use crate::support::{Client, Member};
use regent::resp::Frame;

/// What a round's data came to.
#[derive(Debug, Default)]
pub struct Verdict {
    pub acknowledged: usize,
    pub unknown: usize,
    /// Acknowledged, and thrown away with a reported tail.
    pub lost: usize,
    /// The fingerprints of the keys that nobody writes to any more, to be found unchanged later.
    pub kept: Vec<Kept>,
}

/// Keys of one database as they stood when their round ended.
#[derive(Debug)]
pub struct Kept {
    database: usize,
    keys: Vec<String>,
    digests: String,
}

/// Judges one round's data on the node.
pub fn judge(node: &Member, round: u64, ledger: &[Op], tails: &[Tail]) -> Result<Verdict, String> {
    let mut client = Client::connect(node.port).map_err(|error| error.to_string())?;
    let mut verdict = Verdict::default();
    for op in ledger {
        verdict.acknowledged += usize::from(op.fate == Fate::Acknowledged);
        verdict.unknown += usize::from(op.fate == Fate::Unknown);
        verdict.lost += usize::from(op.expected(tails) == Expected::Lost);
    }
    let mut multis = [0; 2];
    for number in 0..CLIENTS {
        select(&mut client, number)?;
        let ops: Vec<&Op> = ledger.iter().filter(|op| op.client == number).collect();
        let mut sight = Sight { client: &mut client, round, number, ops: &ops, tails };
        sight.log("log", Kind::Append)?;
        sight.stream()?;
        multis[number % 2] += sight.multi()?;
        sight.count()?;
        sight.map()?;
        sight.register()?;
    }
    for (half, multis) in multis.into_iter().enumerate() {
        select(&mut client, half)?;
        let common = number_at(&mut client, &common_key(round))?;
        if common != multis {
            return Err(format!("the transactions of all clients: {multis} marks, and the counter stands at {common}"));
        }
        let clients = (0..CLIENTS).filter(|number| number % 2 == half);
        let names = ["log", "stream", "multi", "one", "two", "count", "map", "register"];
        let mut keys: Vec<String> = clients.flat_map(|number| names.map(|name| key(round, number, name))).collect();
        keys.push(common_key(round));
        let digests = digests(&mut client, &keys)?;
        verdict.kept.push(Kept { database: database(half), keys, digests });
    }
    Ok(verdict)
}

/// What an earlier round left is what it was.
pub fn unchanged(node: &Member, kept: &[Kept]) -> Result<(), String> {
    let mut client = Client::connect(node.port).map_err(|error| error.to_string())?;
    for kept in kept {
        ask(&mut client, &["SELECT", &kept.database.to_string()])?;
        if digests(&mut client, &kept.keys)? != kept.digests {
            return Err(format!("{:?} were at rest, and have changed", kept.keys));
        }
    }
    Ok(())
}

fn digests(client: &mut Client, keys: &[String]) -> Result<String, String> {
    let mut words = vec!["DEBUG", "DIGEST-VALUE"];
    words.extend(keys.iter().map(String::as_str));
    Ok(format!("{:?}", ask(client, &words)?))
}

fn ask(client: &mut Client, words: &[&str]) -> Result<Frame, String> {
    match client.try_cmd(words) {
        Ok(Frame::Error(text)) => Err(format!("{words:?}: {text}")),
        Ok(frame) => Ok(frame),
        Err(error) => Err(format!("{words:?}: {error}")),
    }
}

fn select(client: &mut Client, number: usize) -> Result<(), String> {
    ask(client, &["SELECT", &database(number).to_string()]).map(drop)
}

fn text_at(client: &mut Client, key: &str) -> Result<Option<String>, String> {
    let reply = ask(client, &["GET", key])?;
    Ok(reply.text().map(|text| String::from_utf8_lossy(text).into_owned()))
}

fn number_at(client: &mut Client, key: &str) -> Result<usize, String> {
    let text = text_at(client, key)?;
    text.map_or(Ok(0), |text| text.parse().map_err(|_| format!("{key} holds {text:?}")))
}

/// One client's data, and what it did to them.
struct Sight<'a> {
    client: &'a mut Client,
    round: u64,
    number: usize,
    ops: &'a [&'a Op],
    tails: &'a [Tail],
}

impl Sight<'_> {
    fn key(&self, name: &str) -> String {
        key(self.round, self.number, name)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Op> {
        self.ops.iter().copied().filter(move |op| op.kind == kind)
    }

    /// The marks in an appended log. How many they are.
    fn log(&mut self, name: &str, kind: Kind) -> Result<usize, String> {
        let key = self.key(name);
        let text = text_at(self.client, &key)?.unwrap_or_default();
        let marks: Result<Vec<u64>, _> = text.split(';').skip(1).map(str::parse).collect();
        let marks = marks.map_err(|_| format!("{key} holds what nobody wrote: {text:?}"))?;
        self.marks(&key, kind, &marks)?;
        Ok(marks.len())
    }

    /// The marks in the entries of a stream.
    fn stream(&mut self) -> Result<(), String> {
        let key = self.key("stream");
        let entries = ask(self.client, &["XRANGE", &key, "-", "+"])?;
        let mark = |entry: &Frame| entry.items()?.last()?.items()?.last()?.int()?.try_into().ok();
        let marks: Option<Vec<u64>> = entries.items().unwrap_or_default().iter().map(mark).collect();
        let marks = marks.ok_or_else(|| format!("{key} holds what nobody wrote: {entries:?}"))?;
        if ask(self.client, &["XLEN", &key])?.int() != Some(marks.len() as i64) {
            return Err(format!("{key} has another length than its {} entries", marks.len()));
        }
        self.marks(&key, Kind::Entry, &marks)
    }

    /// Each mark once, those that were acknowledged in their order.
    fn marks(&self, key: &str, kind: Kind, marks: &[u64]) -> Result<(), String> {
        let mut sorted = marks.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{key}: {} was applied twice: {marks:?}", pair[0]));
        }
        self.presence(key, kind, |number| sorted.binary_search(&number).is_ok())?;
        let known = |mark: &u64| self.of(kind).any(|op| op.number == *mark);
        if let Some(stray) = marks.iter().find(|mark| !known(mark)) {
            return Err(format!("{key}: {stray} was refused, or never sent, and is there"));
        }
        let acknowledged: Vec<u64> =
            self.of(kind).filter(|op| op.fate == Fate::Acknowledged).map(|op| op.number).collect();
        let in_order: Vec<u64> =
            marks.iter().copied().filter(|mark| acknowledged.binary_search(mark).is_ok()).collect();
        if !in_order.is_sorted() {
            return Err(format!("{key}: out of order: {marks:?}"));
        }
        Ok(())
    }

    /// Every operation is there or is not, as it must be.
    fn presence(&self, key: &str, kind: Kind, there: impl Fn(u64) -> bool) -> Result<(), String> {
        for op in self.of(kind) {
            let why = match (op.expected(self.tails), there(op.number)) {
                (Expected::Present, false) => "was acknowledged, and is missing, in no tail that was reported",
                (Expected::Lost, true) => "is there, although it lies in a tail that was reported",
                _ => continue,
            };
            let missing: Vec<u64> = self.of(kind).map(|op| op.number).filter(|number| !there(*number)).collect();
            return Err(format!("{key}: {op:?} {why}; tails {:?}; missing of this kind {missing:?}", self.tails));
        }
        Ok(())
    }

    /// All parts of a transaction, or none.
    fn multi(&mut self) -> Result<usize, String> {
        let marks = self.log("multi", Kind::Multi)?;
        let (one, two) = (self.key("one"), self.key("two"));
        let (one, two) = (number_at(self.client, &one)?, number_at(self.client, &two)?);
        if (one, two) != (marks, marks) {
            return Err(format!("{}: {marks} marks, and counters at {one} and {two}", self.key("multi")));
        }
        Ok(marks)
    }

    fn count(&mut self) -> Result<(), String> {
        let key = self.key("count");
        let value = number_at(self.client, &key)?;
        let least = self.of(Kind::Incr).filter(|op| op.expected(self.tails) == Expected::Present).count();
        let most = self.of(Kind::Incr).filter(|op| op.expected(self.tails) != Expected::Lost).count();
        if !(least..=most).contains(&value) {
            return Err(format!("{key} stands at {value}, of {least} that must be there and {most} that may"));
        }
        Ok(())
    }

    fn map(&mut self) -> Result<(), String> {
        let key = self.key("map");
        let text = text_at(self.client, &key)?.unwrap_or_default().into_bytes();
        self.presence(&key, Kind::SetRange, |number| text.get(number as usize) == Some(&b'x'))?;
        let marked = text.iter().filter(|byte| **byte == b'x').count();
        let known = self.of(Kind::SetRange).filter(|op| text.get(op.number as usize) == Some(&b'x')).count();
        if marked != known {
            return Err(format!("{key}: {marked} marks, of which {known} are known"));
        }
        Ok(())
    }

    /// The last one that must be there stands, or one that may have come later.
    fn register(&mut self) -> Result<(), String> {
        let key = self.key("register");
        let value = text_at(self.client, &key)?;
        let result = |op: &Op| (op.kind == Kind::Set).then(|| op.number.to_string());
        let mut may: Vec<Option<String>> = vec![None];
        for op in self.ops.iter().filter(|op| matches!(op.kind, Kind::Set | Kind::Unlink)) {
            match op.expected(self.tails) {
                Expected::Present => {
                    may = self.uncertain().map(result).collect();
                    may.push(result(op));
                }
                Expected::Either => may.push(result(op)),
                Expected::Lost => {}
            }
        }
        if !may.contains(&value) {
            return Err(format!("{key} holds {value:?}, where {may:?} could be"));
        }
        Ok(())
    }

    /// Those without an answer, which may take place after those that came later on another connection.
    fn uncertain(&self) -> impl Iterator<Item = &Op> {
        let kinds = |op: &&Op| matches!(op.kind, Kind::Set | Kind::Unlink);
        self.ops.iter().copied().filter(kinds).filter(|op| op.fate == Fate::Unknown)
    }
}
