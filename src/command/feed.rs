//! From effects to the bytes of the replication stream.
//!
//! Handlers feed *effects* (`SET k v PXAT 1010000`, not `SET k v EX 10`). All effects of one request, or of one EXEC,
//! are one unit: a single command as it is, several inside MULTI ... EXEC. `SELECT` is put in front of the first
//! command of another database, inside the MULTI, as Redis does. A closed unit goes to the stream's backlog at once and
//! into `pending`, which the turn writes to the log before anybody is told: the same bytes at the same offsets (N3).
//! Changes of history stand between the bytes where they happened, so that the log has them in that order (N2).
//!
//! A replica generates nothing: its master's bytes are put in as they came ([`Feed::relay`]).

use crate::base::{ReplId, number};
use crate::replication::{History, Stream};

/// The room for a unit that is kept for the next one, bytes.
const UNIT_KEPT_BYTES: usize = 64 << 10;

/// The same for what a turn feeds, and that much of it behind an eviction.
const PENDING_KEPT_BYTES: usize = 1 << 20;
const LITTLE_BYTES: usize = 4 << 10;

/// The bytes on their way from handlers to the log.
#[derive(Debug, Default)]
pub struct Feed {
    /// The commands of the unit that is being executed, and how many they are.
    unit: Vec<u8>,
    commands: usize,
    /// The database that the stream had selected before the unit.
    entered: u32,
    pending: Vec<u8>,
    /// Changes of history, each at its place in `pending`.
    changes: Vec<Change>,
    keeps_little: bool,
}

/// A change of history and where it stands.
#[derive(Debug)]
struct Change {
    /// The place in `pending`.
    at: usize,
    /// The database that the stream had selected there.
    db: u32,
    history: History,
    reason: String,
}

/// What the log is to be given, in order.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    /// Whole units, and the database that the stream has selected behind them.
    Bytes(&'a [u8], u32),
    /// A change of history, and why.
    History(&'a History, &'a str),
}

impl Feed {
    /// Adds one command to the unit. `fresh` is the id to take, should this be the first byte of a recovered master.
    pub fn command<'w>(
        &mut self,
        stream: &mut Stream,
        fresh: ReplId,
        db: u32,
        words: impl ExactSizeIterator<Item = &'w [u8]>,
    ) {
        self.own(stream, fresh);
        self.enter(stream);
        if stream.selected() != Some(db) {
            let mut digits = itoa::Buffer::new();
            encode(&mut self.unit, [&b"SELECT"[..], digits.format(db).as_bytes()].into_iter());
            stream.set_selected(Some(db));
        }
        encode(&mut self.unit, words);
        self.commands += 1;
    }

    /// Adds a command that belongs to no database (PUBLISH, PING, REPLCONF GETACK): no SELECT is put in front. A master
    /// that came back leaves it out until it has taken its own id: nobody follows it yet, and a hello of a sentinel must
    /// not be the byte that keeps a deposed master from resuming in part (N2).
    pub fn plain<'w>(&mut self, stream: &mut Stream, words: impl ExactSizeIterator<Item = &'w [u8]>) {
        if stream.must_own() {
            return;
        }
        self.enter(stream);
        encode(&mut self.unit, words);
        self.commands += 1;
    }

    fn enter(&mut self, stream: &Stream) {
        if self.commands == 0 {
            self.entered = stream.db();
        }
    }

    /// A master that came back takes its own id with its first own byte, and says so in the log before it.
    fn own(&mut self, stream: &mut Stream, fresh: ReplId) {
        if self.commands == 0 && stream.must_own() && stream.own(fresh) {
            self.history_changed(stream, "first write of a restarted master");
        }
    }

    /// How many commands the unit holds so far.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Ends the unit: its bytes join the stream, inside MULTI ... EXEC if they are more than one command.
    pub fn close_unit(&mut self, stream: &mut Stream) {
        if self.commands == 0 {
            return;
        }
        let before = self.pending.len();
        if self.commands > 1 {
            self.pending.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
        }
        self.pending.append(&mut self.unit);
        self.unit.shrink_to(UNIT_KEPT_BYTES);
        if self.commands > 1 {
            self.pending.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
        }
        self.commands = 0;
        stream.append(&self.pending[before..]);
    }

    /// Puts in a whole unit as the master sent it, or as a replica gave it back to its master; `db` is what it leaves selected.
    pub fn relay(&mut self, stream: &mut Stream, bytes: &[u8], db: u32) {
        assert!(self.unit.is_empty(), "a replica feeds nothing of its own");
        match stream.must_own() {
            true => stream.append_recovered(bytes),
            false => stream.append(bytes),
        }
        stream.set_selected(Some(db));
        self.pending.extend_from_slice(bytes);
    }

    /// The stream's history has changed: the log will say so at this place.
    pub fn history_changed(&mut self, stream: &Stream, reason: &str) {
        let (at, history, db) = (self.pending.len(), stream.history().clone(), stream.db());
        self.changes.push(Change { at, db, history, reason: reason.to_string() });
    }

    /// Bytes that what waits for the log takes.
    pub fn buffered_bytes(&self) -> usize {
        self.unit.capacity() + self.pending.capacity()
    }

    /// The same without the room that is kept for what comes: what will be free when the log has it.
    pub fn waiting_bytes(&self) -> usize {
        let waiting = |buffer: &Vec<u8>| buffer.capacity().min(2 * buffer.len());
        waiting(&self.unit) + waiting(&self.pending)
    }

    /// Keys are evicted: the room that their effects take is not kept. It would count as memory in use, and cause further
    /// evictions.
    pub fn keep_little(&mut self) {
        self.keeps_little = true;
    }

    /// Whether anything waits for the log.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty() || !self.changes.is_empty()
    }

    /// What waits for the log; `db` is what the stream has selected at its end. A unit that is open stays out of it.
    pub fn pieces(&self, db: u32) -> impl Iterator<Item = Piece<'_>> {
        let db = if self.commands == 0 { db } else { self.entered };
        let mut from = 0;
        let changes = self.changes.iter().flat_map(move |change| {
            let bytes = &self.pending[from..change.at];
            from = change.at;
            [Piece::Bytes(bytes, change.db), Piece::History(&change.history, &change.reason)]
        });
        let last = self.changes.last().map_or(0, |change| change.at);
        changes.chain([Piece::Bytes(&self.pending[last..], db)]).filter(|piece| !matches!(piece, Piece::Bytes([], _)))
    }

    /// The first `bytes` of the pending bytes and `changes` of the changes are in the log.
    pub fn logged(&mut self, bytes: usize, changes: usize) {
        if bytes == self.pending.len() {
            self.pending.clear();
            let kept = if std::mem::take(&mut self.keeps_little) { LITTLE_BYTES } else { PENDING_KEPT_BYTES };
            self.pending.shrink_to(kept);
        } else {
            self.pending.drain(..bytes);
        }
        self.changes.drain(..changes);
        for change in &mut self.changes {
            change.at -= bytes;
        }
    }

    /// There is no log: nothing waits for it.
    pub fn logged_all(&mut self) {
        self.logged(self.pending.len(), self.changes.len());
    }

    /// Gives up what waits: it belongs to a keyspace that a full copy has replaced.
    pub fn discard(&mut self) {
        assert!(self.unit.is_empty(), "inside a unit");
        self.pending.clear();
        self.changes.clear();
    }
}

/// One command in RESP: an array of bulk strings.
pub fn encode<'w>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'w [u8]>) {
    out.push(b'*');
    number::push_i64(out, words.len() as i64);
    out.extend_from_slice(b"\r\n");
    for word in words {
        out.push(b'$');
        number::push_i64(out, word.len() as i64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Offset;

    const ID: ReplId = ReplId::from_random([7; 20]);
    const FRESH: ReplId = ReplId::from_random([9; 20]);

    fn words(text: &'static str) -> impl ExactSizeIterator<Item = &'static [u8]> {
        text.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter()
    }

    fn names(feed: &Feed) -> String {
        let text = String::from_utf8(feed.pending.clone()).unwrap();
        let names: Vec<_> = text.split("\r\n").filter(|line| !line.starts_with(['*', '$'])).collect();
        names.join(" ").trim_end().to_string()
    }

    #[test]
    fn one_command_stands_alone_and_several_stand_in_a_transaction() {
        let mut stream = Stream::new(History::blank(ID), Offset(100), 1 << 20);
        let mut feed = Feed::default();
        feed.command(&mut stream, FRESH, 0, words("SET k v"));
        feed.close_unit(&mut stream);
        feed.command(&mut stream, FRESH, 0, words("DEL k"));
        feed.command(&mut stream, FRESH, 3, words("DEL j"));
        feed.close_unit(&mut stream);
        feed.close_unit(&mut stream);
        assert_eq!(names(&feed), "SELECT 0 SET k v MULTI DEL k SELECT 3 DEL j EXEC");
        assert_eq!(stream.end(), Offset(100 + feed.pending.len() as u64));
        assert_eq!(stream.selected(), Some(3));
    }

    #[test]
    fn publish_selects_no_database() {
        let mut stream = Stream::new(History::blank(ID), Offset(0), 1 << 20);
        let mut feed = Feed::default();
        feed.plain(&mut stream, words("PUBLISH c m"));
        feed.close_unit(&mut stream);
        assert_eq!(names(&feed), "PUBLISH c m");
        assert_eq!(stream.selected(), None);
    }

    // A sentinel's hello reached a restarted master before the order to follow: it took an id of its own for the PUBLISH,
    // and the node came back by a full copy.
    #[test]
    fn a_restarted_master_takes_no_id_for_a_publish() {
        let mut stream = Stream::new(History::blank(ID).resumed(), Offset(50), 1 << 20);
        let mut feed = Feed::default();
        feed.plain(&mut stream, words("PUBLISH __sentinel__:hello m"));
        feed.close_unit(&mut stream);
        assert!(!feed.has_pending());
        assert_eq!((stream.history().id(), stream.end()), (ID, Offset(50)));
    }

    #[test]
    fn the_new_id_of_a_restarted_master_stands_in_front_of_its_first_byte() {
        let mut stream = Stream::new(History::blank(ID).resumed(), Offset(50), 1 << 20);
        stream.set_selected(Some(0));
        let mut feed = Feed::default();
        feed.command(&mut stream, FRESH, 0, words("SET k v"));
        feed.close_unit(&mut stream);
        let pieces: Vec<_> = feed.pieces(0).collect();
        assert!(matches!(pieces[0], Piece::History(history, _) if history.id() == FRESH), "{pieces:?}");
        assert_eq!(pieces.len(), 2);
        assert_eq!(names(&feed), "SELECT 0 SET k v", "it emits SELECT first");
        let bytes = feed.pending.len();
        feed.logged(0, 1);
        assert_eq!(feed.pieces(0).count(), 1);
        feed.logged(bytes, 0);
        assert!(!feed.has_pending());
    }
}
