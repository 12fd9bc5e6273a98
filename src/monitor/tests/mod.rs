//! A whole monitor without sockets: what it answers, in Redis' words and order, and what it wants done.
//!
//! The golden lines were taken from `redis-sentinel` 7.0 and the text of 7.2.

mod answers;
mod watching;

use super::event::{Effect, Event, LinkKind};
use super::{Ask, ClientId, Clock, Identity, Later, Monitor, Next};
use crate::base::{Epoch, Millis, RunId};
use crate::config::{Config, Role};
use crate::failover::founding::{Belongs, Saved};
use crate::failover::{Addr, Entry, GroupId, Me, Registry, Settings};
use crate::resp::{Frame, decode};

const MYID: &str = "1111111111111111111111111111111111111111";

/// One sentinel of `m` at 10.0.0.1:7001, and a client.
struct Bench {
    monitor: Monitor,
    now: i64,
    client: ClientId,
    out: Vec<Effect>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(more: &str) -> Bench {
        Bench::of(more, Saved::default())
    }

    /// The same, in a group of three that agreed on the master and its replica at 7002; another sentinel leads.
    fn grouped() -> Bench {
        let group = GroupId(5);
        let mut bench = Bench::of("", Saved { group: Some(Belongs::Joined(group)), ..Saved::default() });
        let mut registry = Registry::new(group);
        let (name, at) = ("m".to_owned(), Millis(1));
        let Me { member, runid, addr, boot } = bench.monitor.me().clone();
        registry.apply(&Entry::Join { member, runid, addr, boot, at });
        registry.apply(&Entry::Voters { voters: [1, 2, 3].into() });
        let settings = Settings { down_after: Millis(5000), ..Settings::with_quorum(2) };
        let addr = Addr::new("10.0.0.1", 7001);
        registry.apply(&Entry::Monitor { name: name.clone(), addr, settings, by: 1, at });
        let addr = Addr::new("10.0.0.2", 7002);
        registry.apply(&Entry::ReplicaSeen { name, epoch: Epoch(0), addr, runid: None, linked: true });
        bench.step(Event::View { leader: Some(2), voters: [1, 2, 3].into(), learners: [].into() });
        bench.step(Event::Agreed { registry, events: vec![] });
        bench.step(Event::CaughtUp);
        bench
    }

    fn of(more: &str, saved: Saved) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        let text = format!(
            "port 5001\nsentinel myid {MYID}\nsentinel monitor m 10.0.0.1 7001 2\n\
             sentinel down-after-milliseconds m 5000\n{more}"
        );
        std::fs::write(&path, text).unwrap();
        let config = Config::load(Role::Sentinel, &[path.display().to_string()], &mut std::io::empty()).unwrap();
        let runid = RunId::parse(MYID.as_bytes()).unwrap();
        let me = Me { member: 1, runid, addr: Addr::new("10.0.0.9", 5001), boot: 7 };
        let identity = Identity { me, saved, luck: GroupId(5) };
        let mut out = Vec::new();
        let mut monitor = Monitor::new(config, identity, Clock { mono: Millis(1000), wall: Millis(1) }, &mut out);
        let clock = Clock { mono: Millis(1000), wall: Millis(1) };
        let client = monitor.connected(clock, "10.0.0.7:4000".into(), "10.0.0.9:5001".into());
        Bench { monitor, now: 1000, client, out, _dir: dir }
    }

    fn clock(&self) -> Clock {
        Clock { mono: Millis(self.now), wall: Millis(self.now) }
    }

    fn step(&mut self, event: Event) {
        let clock = self.clock();
        self.monitor.step(clock, event, &mut self.out);
    }

    /// Lets time pass to `now` as the runtime does: a tick at each deadline.
    fn pass(&mut self, now: i64) {
        loop {
            let due = self.monitor.next_deadline();
            if due > Millis(now) {
                break;
            }
            self.now = due.0;
            self.step(Event::Tick);
        }
        self.now = now;
    }

    /// One request; whatever it needs from the disk is granted.
    fn ask(&mut self, words: &[&str]) -> Frame {
        let client = self.client;
        self.ask_as(client, words)
    }

    fn ask_as(&mut self, client: ClientId, words: &[&str]) -> Frame {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut reply = Vec::new();
        let mut answered = None;
        loop {
            let ask = Ask { client, words: &words, answered: answered.take() };
            let clock = self.clock();
            match self.monitor.request(clock, &ask, &mut reply, &mut self.out) {
                Next::Done => return decode(&reply).unwrap().map_or(Frame::Null, |(frame, _)| frame),
                Next::Later(Later::Flush) => answered = Some(super::Answered::Flushed(Ok(()))),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The reply as text, arrays and maps as words.
    fn say(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        text(&self.ask(&words))
    }

    /// The log lines since the last call.
    fn log(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.out);
        let line = |effect| match effect {
            Effect::Log(_, text) => Some(text),
            _ => None,
        };
        all.into_iter().filter_map(line).collect()
    }

    fn link(&self, port: u16, kind: LinkKind) -> super::LinkId {
        let wanted = |(_, (_, addr, known)): &(_, &(String, Addr, LinkKind))| addr.port == port && *known == kind;
        *self.monitor.links.iter().find(wanted).expect("a link").0
    }

    /// The command link of the node at this port is up.
    fn up(&mut self, port: u16) {
        let link = self.link(port, LinkKind::Command);
        self.step(Event::LinkUp { link, conn: 1 });
    }

    /// The node answers whatever was asked, INFO with this text.
    fn answer(&mut self, port: u16, info: &str) {
        let link = self.link(port, LinkKind::Command);
        for _ in 0..100 {
            let addr = self.monitor.links[&link].1.clone();
            let node = &self.monitor.masters["m"].nodes[&addr];
            let Some(next) = node.command.pending.front().cloned() else { return };
            let frame = match next {
                super::instance::Pending::Ping => Frame::Simple("PONG".to_owned()),
                super::instance::Pending::Info { .. } => Frame::Bulk(info.as_bytes().to_vec()),
                _ => Frame::Int(1),
            };
            self.step(Event::Reply { link, conn: 1, frame });
        }
    }
}

fn text(frame: &Frame) -> String {
    match frame {
        Frame::Array(items) | Frame::Set(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
        Frame::Error(text) => format!("-{text}"),
        Frame::Null => "(nil)".to_owned(),
        Frame::Int(number) => number.to_string(),
        other => String::from_utf8_lossy(other.text().unwrap_or_default()).into_owned(),
    }
}

/// The names of a map's fields.
fn names(frame: &Frame) -> Vec<String> {
    frame.items().unwrap_or_default().iter().step_by(2).map(text).collect()
}
