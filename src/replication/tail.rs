//! The tail that a power cut cost a master, taken back from its replicas: bytes that they were fed and that its own disk
//! had not yet. Without it the master goes on at what its log has, and what lies beyond is lost though others hold it.
//!
//! ```text
//! -> REPLCONF TAIL <replid> <from>           how far do you hold this history?
//! <- +TAIL <your replid now> <upto>
//! -> REPLCONF TAIL <replid> <from> <upto>    one replica at a time
//! <- +TAIL <your replid now> <upto>, and the bytes behind `from` up to `upto`
//! ```
//! All bytes under one id are the same wherever they are held, so it is all one from whom they come, and in which order.
//! Any other make answers with an error, and has then been asked. Until the search is over the node takes no write and
//! shows its stream to nobody; it ends when everyone known has answered, after [`PATIENCE_MS`] at the latest, or as soon
//! as the node is told to follow a master.

use super::history::Standing;
use super::note::{Note, text};
use super::planted::{Bug, planted};
use super::sink::{ConnId, Expect, request};
use super::stream::{Stream, Upstream};
use crate::base::number::parse_i64;
use crate::base::{Millis, Offset, ReplId};

/// How long a search may last, and a replica that gives may be silent. Machines that lost their power together come back
/// seconds apart, and one that has taken a minute to start loses little by these; without any replica that is known
/// nothing is waited for.
pub const PATIENCE_MS: Millis = Millis(5_000);
/// How often one that does not answer is tried again.
pub const AGAIN_MS: Millis = Millis(100);

/// Connections of a search are counted apart from those of the sink.
const CONNS: u64 = 1 << 48;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The node came back as a master and may lack the end of its stream: these (host, port) were its replicas.
    Begin {
        peers: &'a [(String, u16)],
    },
    /// One more: it asked for what lies beyond our end.
    Found {
        host: &'a str,
        port: u16,
    },
    Connected {
        conn: ConnId,
    },
    /// No connection, or no longer.
    Closed {
        conn: ConnId,
        why: &'a str,
    },
    /// A line, without its CRLF.
    Line {
        conn: ConnId,
        line: &'a [u8],
    },
    /// Bytes of the stream were read; what is whole has been appended to the stream.
    Bytes {
        conn: ConnId,
        bytes: u64,
    },
    /// The node follows a master, or ends.
    Stop,
    /// Time passes, or the stream's released end moved; at least every [`AGAIN_MS`].
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect, and answer with [`Event::Connected`] or [`Event::Closed`].
    Connect {
        conn: ConnId,
        host: String,
        port: u16,
    },
    Send {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    /// Close without waiting; no event of this connection is heard from now on.
    Close {
        conn: ConnId,
    },
    /// The search is over.
    Done,
    Log(Note),
}

/// Who must be told what to be let in (`masteruser`, `masterauth`: a replica's own master needs them too).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub user: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Search {
    from: Offset,
    until: Millis,
    /// Somebody goes on under another id: whether we are still the master others have to say, for as long as we wait.
    superseded: bool,
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    host: String,
    port: u16,
    state: State,
    /// Why it could not be asked, the last time.
    why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting {
        at: Millis,
    },
    Connecting {
        conn: ConnId,
    },
    /// `auth`: the reply to AUTH comes first.
    Asked {
        conn: ConnId,
        auth: bool,
    },
    /// It holds more than we do, and waits for its turn.
    Holds {
        conn: ConnId,
        upto: Offset,
    },
    /// It is to give what it holds.
    Begged {
        conn: ConnId,
        upto: Offset,
        heard: Millis,
    },
    Giving {
        conn: ConnId,
        upto: Offset,
        left: u64,
        heard: Millis,
    },
    Done,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tail {
    access: Access,
    search: Option<Search>,
    conns: u64,
}

impl Tail {
    pub fn configure(&mut self, access: Access) {
        self.access = access;
    }

    /// Whether a search is under way: nothing may be written, and nobody may follow.
    pub fn is_searching(&self) -> bool {
        self.search.is_some()
    }

    /// What the next bytes of `conn` are, and how many at most.
    pub fn expects(&self, conn: ConnId) -> (Expect, u64) {
        let peers = self.search.iter().flat_map(|search| &search.peers);
        match peers.map(|peer| peer.state).find(|state| state.conn() == Some(conn)) {
            Some(State::Asked { .. } | State::Begged { .. }) => (Expect::Line, u64::MAX),
            Some(State::Giving { left, .. }) => (Expect::Stream, left),
            _ => (Expect::Nothing, 0),
        }
    }

    /// One event; effects are appended to `out`. `now` is monotonic.
    pub fn step(&mut self, now: Millis, event: Event<'_>, stream: &Stream, out: &mut Vec<Effect>) {
        match event {
            Event::Begin { peers } => {
                for (host, port) in peers {
                    self.add(now, host, *port, stream, out);
                }
            }
            Event::Found { host, port } => self.add(now, host, port, stream, out),
            Event::Stop => {
                if let Some(search) = self.search.take() {
                    let conns = search.peers.iter().filter_map(|peer| peer.state.conn());
                    out.extend(conns.map(|conn| Effect::Close { conn }));
                    out.push(Effect::Done);
                }
            }
            Event::Connected { conn } => {
                let bytes = self.question(stream);
                let auth = self.access.password.is_some();
                if let Some(peer) = self.peer(conn) {
                    peer.state = State::Asked { conn, auth };
                    out.push(Effect::Send { conn, bytes });
                }
            }
            Event::Closed { conn, why } => {
                if let Some(peer) = self.peer(conn) {
                    peer.why = Some(why.to_owned());
                    peer.state = State::Waiting { at: now + AGAIN_MS };
                }
            }
            Event::Line { conn, line } => self.line(now, conn, line, stream, out),
            Event::Bytes { conn, bytes } => self.came(now, conn, bytes, stream, out),
            Event::Tick => {}
        }
        self.go_on(now, stream, out);
    }

    fn add(&mut self, now: Millis, host: &str, port: u16, stream: &Stream, out: &mut Vec<Effect>) {
        let lacking = stream.upstream() == Upstream::Own && stream.history().standing() == Standing::Resumed;
        if !lacking {
            return;
        }
        let from = stream.end();
        let search = self.search.get_or_insert_with(|| {
            out.push(Effect::Log(Note::notice(format!(
                "This master may have lost the end of its stream: asking its replicas for what lies beyond offset {from}."
            ))));
            Search { from, until: now + PATIENCE_MS, superseded: false, peers: Vec::new() }
        });
        match search.peers.iter_mut().find(|peer| peer.host == host && peer.port == port) {
            Some(peer) if peer.state == State::Done => peer.state = State::Waiting { at: now },
            Some(_) => {}
            None => {
                let (host, state) = (host.to_owned(), State::Waiting { at: now });
                search.peers.push(Peer { host, port, state, why: None });
            }
        }
    }

    fn peer(&mut self, conn: ConnId) -> Option<&mut Peer> {
        self.search.as_mut()?.peers.iter_mut().find(|peer| peer.state.conn() == Some(conn))
    }

    fn question(&self, stream: &Stream) -> Vec<u8> {
        let mut bytes = match &self.access {
            Access { user: Some(user), password: Some(password) } => request(&[b"AUTH", user, password]),
            Access { user: None, password: Some(password) } => request(&[b"AUTH", password]),
            _ => Vec::new(),
        };
        let id = stream.history().id().to_string();
        bytes.extend(request(&[b"REPLCONF", b"TAIL", id.as_bytes(), stream.end().to_string().as_bytes()]));
        bytes
    }

    fn line(&mut self, now: Millis, conn: ConnId, line: &[u8], stream: &Stream, out: &mut Vec<Effect>) {
        let id = stream.history().id();
        let Some(peer) = self.peer(conn) else { return };
        if let State::Asked { auth: auth @ true, .. } = &mut peer.state {
            *auth = false; // If it was refused, the next line says so again.
            return;
        }
        if line.starts_with(b"-LOADING") {
            peer.why = Some("it reads its data".to_owned());
            peer.state = State::Waiting { at: now + AGAIN_MS };
            return out.push(Effect::Close { conn });
        }
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let told = match words[..] {
            [b"+TAIL", now, upto] => {
                let upto = parse_i64(upto).and_then(|upto| u64::try_from(upto).ok());
                ReplId::parse(now).zip(upto.map(Offset))
            }
            _ => None,
        };
        let name = format!("{}:{}", peer.host, peer.port);
        let Some((theirs, upto)) = told else {
            peer.state = State::Done;
            out.push(Effect::Close { conn });
            return out.push(Effect::Log(Note::notice(format!("Replica {name} has nothing to give: {}", text(line)))));
        };
        match peer.state {
            State::Begged { upto: wanted, .. } if upto == wanted => {
                let left = upto.bytes_since(stream.end());
                peer.state = State::Giving { conn, upto, left, heard: now };
            }
            _ => peer.state = State::Holds { conn, upto },
        }
        if theirs != id
            && let Some(search) = &mut self.search
            && !std::mem::replace(&mut search.superseded, true)
        {
            out.push(Effect::Log(Note::warning(format!(
                "{name} goes on under another history, {theirs}: this node may have been replaced as master. It takes no \
                 writes for {} s, unless it is told whom to follow.",
                PATIENCE_MS.seconds()
            ))));
        }
    }

    fn came(&mut self, now: Millis, conn: ConnId, bytes: u64, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(peer) = self.peer(conn) else { return };
        let State::Giving { upto, left, .. } = peer.state else { return };
        let left = left.saturating_sub(bytes);
        if left > 0 {
            peer.state = State::Giving { conn, upto, left, heard: now };
            return;
        }
        peer.state = State::Done;
        out.push(Effect::Close { conn });
        out.push(Effect::Log(match stream.end() >= upto {
            true => Note::notice(format!("Replica {}:{} gave the stream up to offset {upto}.", peer.host, peer.port)),
            false => Note::warning(format!(
                "What replica {}:{} gave ends at offset {upto} inside a unit: it is kept up to offset {}.",
                peer.host,
                peer.port,
                stream.end()
            )),
        }));
    }

    /// What is due now: another try, the next who gives, the end.
    fn go_on(&mut self, now: Millis, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(search) = &mut self.search else { return };
        let late = now >= search.until;
        for peer in &mut search.peers {
            match peer.state {
                State::Waiting { at } if at <= now && !late => {
                    self.conns += 1;
                    let conn = ConnId(CONNS + self.conns);
                    peer.state = State::Connecting { conn };
                    out.push(Effect::Connect { conn, host: peer.host.clone(), port: peer.port });
                }
                State::Begged { conn, heard, .. } | State::Giving { conn, heard, .. }
                    if now.since(heard) >= PATIENCE_MS =>
                {
                    peer.why = Some("it fell silent".to_owned());
                    peer.state = State::Waiting { at: now + AGAIN_MS };
                    out.push(Effect::Close { conn });
                }
                State::Holds { conn, upto } if upto <= stream.end() => {
                    peer.state = State::Done;
                    out.push(Effect::Close { conn });
                }
                _ => {}
            }
        }
        let gives = |peer: &Peer| matches!(peer.state, State::Begged { .. } | State::Giving { .. });
        if search.peers.iter().any(gives) {
            return;
        }
        for peer in &mut search.peers {
            if let State::Holds { conn, upto } = peer.state {
                let (id, from) =
                    (stream.history().id().to_string(), stream.end().0 - u64::from(planted(Bug::TailTwice)));
                let words = [
                    b"REPLCONF".to_vec(),
                    b"TAIL".to_vec(),
                    id.into(),
                    from.to_string().into(),
                    upto.to_string().into(),
                ];
                out.push(Effect::Send { conn, bytes: request(&words.each_ref().map(Vec::as_slice)) });
                peer.state = State::Begged { conn, upto, heard: now };
                return;
            }
        }
        let open = |peer: &Peer| peer.state != State::Done;
        let answered = match planted(Bug::TailOfTheFirst) {
            true => !search.peers.iter().all(open),
            false => !search.peers.iter().any(open),
        };
        // What came back is served to replicas once the log has it: until then one of them would seem to be ahead.
        let logged = stream.released() == stream.end() || planted(Bug::TailUnlogged);
        if late || answered && logged && !search.superseded {
            self.end(stream, out);
        }
    }

    fn end(&mut self, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(search) = self.search.take() else { return };
        let (from, end) = (search.from, stream.end());
        for peer in &search.peers {
            if let Some(conn) = peer.state.conn() {
                out.push(Effect::Close { conn });
            }
            if peer.state != State::Done {
                let why = peer.why.as_deref().unwrap_or("no answer");
                out.push(Effect::Log(Note::warning(format!(
                    "Replica {}:{} could not be asked ({why}): should it hold more than this master, that is lost.",
                    peer.host, peer.port
                ))));
            }
        }
        out.push(Effect::Log(match end > from {
            true => Note::warning(format!(
                "{} bytes of the stream, from offset {from} to {end}, were not on this disk and came back from replicas.",
                end.bytes_since(from)
            )),
            false => Note::notice(format!("No replica that could be asked holds more than this master, {from}.")),
        }));
        out.push(Effect::Done);
    }
}

impl State {
    fn conn(self) -> Option<ConnId> {
        match self {
            State::Waiting { .. } | State::Done => None,
            State::Connecting { conn }
            | State::Asked { conn, .. }
            | State::Holds { conn, .. }
            | State::Begged { conn, .. }
            | State::Giving { conn, .. } => Some(conn),
        }
    }
}
