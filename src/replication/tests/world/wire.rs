//! The wire of a world: bytes arrive in pieces, and each end takes them apart as its runtime would.

use super::{Pipe, World, power};
use crate::base::{Offset, ReplId};
use crate::replication::history::Former;
use crate::replication::sink::{self, Event as SinkEvent, Expect, LinkState};
use crate::replication::source::{Ask, Conf, Event, LinkId};
use crate::replication::stream::Upstream;
use crate::replication::tail::Event as TailEvent;
use crate::replication::{Bulk, Progress};
use std::collections::VecDeque;

impl World {
    pub(super) fn connect(&mut self, n: usize) {
        let Some(at) = self.pipes.iter().position(|p| p.replica == n && !p.greeted && p.replica_holds) else { return };
        let pipe = &mut self.pipes[at];
        (pipe.greeted, pipe.master_holds) = (true, true);
        let (conn, master) = (pipe.conn, pipe.master);
        if self.nodes[master].live.is_none() {
            self.pipes.remove(at);
            return match power::is_of_tail(conn) {
                true => self.closed(n, conn, "Connection refused"),
                false => self.sink(n, SinkEvent::ConnectFailed { conn, why: "Connection refused" }),
            };
        }
        match power::is_of_tail(conn) {
            true => self.tail(n, TailEvent::Connected { conn }),
            false => self.sink(n, SinkEvent::Connected { conn }),
        }
    }

    pub(super) fn dial(&mut self, n: usize, conn: sink::ConnId, master: usize) {
        self.links += 1;
        self.pipes.push(Pipe {
            replica: n,
            conn,
            master,
            link: LinkId(self.links),
            up: VecDeque::new(),
            down: VecDeque::new(),
            at_master: Vec::new(),
            at_replica: Vec::new(),
            bulk: Bulk::default(),
            copy: Vec::new(),
            master_holds: false,
            replica_holds: true,
            greeted: false,
            mark_out: false,
        });
    }

    pub(super) fn push_up(&mut self, n: usize, conn: sink::ConnId, bytes: Vec<u8>) {
        if let Some(pipe) = self.pipes.iter_mut().find(|p| p.replica == n && p.conn == conn) {
            pipe.up.extend(bytes);
        }
    }

    pub(super) fn hang_up(&mut self, n: usize, conn: sink::ConnId) {
        for pipe in self.pipes.iter_mut().filter(|p| p.replica == n && p.conn == conn) {
            pipe.replica_holds = false;
        }
        self.pipes.retain(|p| p.greeted || p.replica_holds);
    }

    /// A connection of this node is over.
    pub(super) fn closed(&mut self, n: usize, conn: sink::ConnId, why: &str) {
        match power::is_of_tail(conn) {
            true => self.tail(n, TailEvent::Closed { conn, why }),
            false => self.sink(n, SinkEvent::Closed { conn, why }),
        }
    }

    /// Bytes arrive at one end of one of the node's connections.
    pub(super) fn deliver(&mut self, n: usize) {
        let mine: Vec<usize> = (0..self.pipes.len())
            .filter(|&at| self.pipes[at].greeted && (self.pipes[at].replica == n || self.pipes[at].master == n))
            .collect();
        if mine.is_empty() {
            return;
        }
        let at = mine[self.luck.below(mine.len())];
        let most = if self.luck.one_in(2) { 8 } else { 400 };
        let some = 1 + self.luck.below(most);
        let pipe = &mut self.pipes[at];
        if pipe.replica == n {
            let some = some.min(pipe.down.len());
            let pipe = &mut self.pipes[at];
            pipe.at_replica.extend(pipe.down.drain(..some));
            let (conn, ended) = (pipe.conn, !pipe.master_holds && pipe.down.is_empty());
            self.process(n);
            if ended {
                self.closed(n, conn, "connection lost");
                self.pipes.retain(|p| p.replica != n || p.conn != conn);
            }
        } else {
            let some = some.min(pipe.up.len());
            pipe.at_master.extend(pipe.up.drain(..some));
            let link = pipe.link;
            if !pipe.replica_holds && pipe.up.is_empty() {
                pipe.master_holds = false;
                return self.source(n, Event::Gone { link });
            }
            self.serve(n, link);
        }
    }

    pub(super) fn push_down(&mut self, n: usize, link: LinkId, bytes: &[u8]) {
        if let Some(pipe) = self.pipes.iter_mut().find(|p| p.master == n && p.link == link && p.master_holds) {
            pipe.down.extend(bytes);
        }
    }

    /// The master's runtime: requests of a replica.
    pub(super) fn serve(&mut self, n: usize, link: LinkId) {
        loop {
            let Some(pipe) = self.pipes.iter_mut().find(|p| p.master == n && p.link == link && p.master_holds) else {
                return;
            };
            let Some((words, len)) = request(&pipe.at_master) else { return };
            pipe.at_master.drain(..len);
            let (replica, conn) = (pipe.replica, pipe.conn);
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let said = |conf| Event::Said { link, ip: "10.0.0.1", conf };
            let number = |word: &[u8]| std::str::from_utf8(word).expect("digits").parse::<i64>().expect("a number");
            match words[..] {
                [] => self.source(n, Event::Heard { link }),
                [b"PING"] => self.push_down(n, link, b"+PONG\r\n"),
                [b"REPLCONF", b"ACK", upto, ref rest @ ..] => {
                    let synced = rest.get(1).map(|synced| Offset(number(synced) as u64));
                    let upto = Offset(number(upto) as u64);
                    self.acknowledged(replica, conn, upto);
                    for pipe in self.pipes.iter_mut().filter(|p| p.master == n && p.link == link) {
                        pipe.mark_out = false;
                    }
                    self.source(n, Event::Acked { link, upto, synced });
                }
                [b"REPLCONF", b"TAIL", ..] if !self.nodes[n].native => {
                    self.push_down(n, link, b"-ERR syntax error\r\n")
                }
                [b"REPLCONF", b"TAIL", replid, from, ref upto @ ..] => {
                    let offset = |word: &[u8]| Offset(number(word) as u64);
                    let (from, upto) = (offset(from), upto.first().map(|upto| offset(upto)));
                    self.source(n, Event::TailAsked { link, ip: "10.0.0.1", replid, from, upto });
                }
                [b"REPLCONF", ref pairs @ ..] => {
                    for pair in pairs.chunks(2) {
                        match *pair {
                            [b"listening-port", port] => self.source(n, said(Conf::ListeningPort(number(port)))),
                            [b"capa", b"rewind" | b"history"] if !self.nodes[n].native => {}
                            [b"capa", capa] => self.source(n, said(Conf::Capa(capa))),
                            ref other => panic!("REPLCONF {other:?}"),
                        }
                    }
                    self.push_down(n, link, b"+OK\r\n");
                }
                [b"PSYNC", replid, next] => self.asked(n, link, replid, number(next)),
                ref other => panic!("a replica said {other:?}"),
            }
        }
    }

    /// An acknowledgement is of what the replica's log has.
    pub(super) fn acknowledged(&mut self, replica: usize, conn: sink::ConnId, upto: Offset) {
        let _ = conn;
        if let Some(live) = &self.nodes[replica].live
            && live.sink.state() == LinkState::Connected
            && self.pipes.iter().any(|p| p.replica == replica && p.conn == conn && p.replica_holds)
        {
            assert!(upto <= live.stream.released(), "a replica acknowledged what its log does not have");
        }
    }

    /// PSYNC, and the oracle's own opinion of whether it could have been continued.
    pub(super) fn asked(&mut self, n: usize, link: LinkId, replid: &[u8], next: i64) {
        let fresh = self.luck.id();
        let live = self.live(n);
        if live.tail.is_searching() {
            return self.push_down(n, link, b"-LOADING Redis is loading the dataset in memory\r\n");
        }
        let id = ReplId::parse(replid);
        let (before, held) = (live.stream.history().clone(), live.stream.held());
        let lost = live.stream.upstream() == Upstream::Lost;
        // A node that took the new id while it lagged left the old one where it stood, and knows no better.
        let knows = |former: &&Former| Some(former.id) == id && next - 1 <= former.end.0 as i64;
        let known = id.filter(|&id| id == before.id() || before.former().iter().find(knows).is_some());
        let could = !lost
            && next >= 1
            && held.contains(&Offset(next as u64 - 1))
            && known.is_some_and(|id| {
                let theirs = self.truth[&id].get(..next as usize - 1);
                theirs.is_some_and(|theirs| live.content.starts_with(theirs))
            });
        let (full, partial) = (live.source.counts().full, live.source.counts().partial_ok);
        self.source(n, Event::Asked { link, ip: "10.0.0.1", ask: Ask::Psync { replid, next }, fresh });
        let counts = self.live(n).source.counts();
        self.tally.full += (counts.full - full) as usize;
        self.tally.partial += (counts.partial_ok - partial) as usize;
        assert!(counts.full == full || !could, "a full copy without a reason: {before:?} asked {id:?} {next}");
    }

    /// The replica's runtime: what was read is taken apart as the sink expects it.
    pub(super) fn process(&mut self, n: usize) {
        loop {
            let Some(live) = &self.nodes[n].live else { return };
            let expects = |pipe: &Pipe| match power::is_of_tail(pipe.conn) {
                true => live.tail.expects(pipe.conn).0,
                false => live.sink.expects(pipe.conn),
            };
            let ready = |p: &Pipe| p.replica == n && p.replica_holds && expects(p) != Expect::Nothing;
            let Some(at) = self.pipes.iter().position(ready) else { return };
            let expect = expects(&self.pipes[at]);
            let pipe = &mut self.pipes[at];
            let conn = pipe.conn;
            match expect {
                Expect::Nothing => return,
                Expect::Line => {
                    let Some(end) = pipe.at_replica.iter().position(|&byte| byte == b'\n') else { return };
                    let line: Vec<u8> = pipe.at_replica.drain(..=end).collect();
                    let line = line.trim_ascii_end();
                    match power::is_of_tail(conn) {
                        true => self.tail(n, TailEvent::Line { conn, line }),
                        false => self.sink(n, SinkEvent::Line { conn, line }),
                    }
                }
                Expect::Copy => {
                    let copy = &mut pipe.copy;
                    let fed = pipe.bulk.feed(&pipe.at_replica, &mut |piece| copy.extend_from_slice(piece));
                    let (taken, progress) = fed.expect("a master's copy");
                    pipe.at_replica.drain(..taken);
                    let idle = pipe.at_replica.is_empty();
                    self.sink(n, SinkEvent::CopyBytes { conn, bytes: taken as u64 });
                    match progress {
                        Progress::Header(extent) => self.sink(n, SinkEvent::CopyHeader { conn, extent }),
                        Progress::Done => self.sink(n, SinkEvent::CopyReceived { conn }),
                        Progress::More if idle => return,
                        Progress::More => {}
                    }
                }
                Expect::Stream => {
                    let Some(&len) = pipe.at_replica.first() else { return };
                    let len = usize::from(len) + 1;
                    if pipe.at_replica.len() < len {
                        return;
                    }
                    let unit: Vec<u8> = pipe.at_replica.drain(..len).collect();
                    if power::is_of_tail(conn) {
                        self.given(n, conn, &unit);
                        continue;
                    }
                    let live = self.live_mut(n);
                    live.stream.append(&unit);
                    live.content.extend_from_slice(&unit);
                    let getack = self.luck.one_in(8);
                    self.sink(n, SinkEvent::Bytes { conn, bytes: len as u64 });
                    if getack {
                        self.sink(n, SinkEvent::GetAck { conn });
                    }
                }
            }
        }
    }
}

/// One request at the front of `bytes`: its words (none for a bare newline) and its length.
fn request(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let line = |from: usize| {
        let end = from + bytes.get(from..)?.iter().position(|&byte| byte == b'\n')?;
        Some((bytes[from..end].trim_ascii_end(), end + 1))
    };
    let count = |text: &[u8]| std::str::from_utf8(&text[1..]).expect("digits").parse::<usize>().expect("a count");
    let (head, mut at) = line(0)?;
    if head.is_empty() {
        return Some((Vec::new(), at));
    }
    let mut words = Vec::new();
    for _ in 0..count(head) {
        let (size, from) = line(at)?;
        let end = from + count(size);
        words.push(bytes.get(from..end)?.to_vec());
        at = end + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}
