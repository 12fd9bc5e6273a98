//! The lines of the handshake: PING, AUTH and REPLCONF, PSYNC and what the master answers.

use super::event::{ConnId, Effect};
use super::{Asking, Sink, State, Step};
use crate::base::number::parse_i64;
use crate::base::{Millis, Offset, ReplId};
use crate::replication::history::Standing;
use crate::replication::note::{Note, text};
use crate::replication::planted::{Bug, planted};
use crate::replication::source::DropReason;
use crate::replication::stream::Stream;

impl Sink {
    pub(super) fn line(
        &mut self,
        now: Millis,
        conn: ConnId,
        step: Step,
        line: &[u8],
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        let refused = line.first() == Some(&b'-');
        let unknown = |option: &str| {
            let line = text(line);
            Effect::Log(Note::notice(format!("(Non critical) Master does not understand REPLCONF {option}: {line}")))
        };
        match step {
            Step::Pong => {
                let starts = |words: &[&[u8]]| words.iter().any(|word| line.starts_with(word));
                if !starts(&[b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"]) {
                    let text = text(line);
                    out.push(Effect::Log(Note::warning(format!("Error reply to PING from master: '{text}'"))));
                    return self.retry(now, out);
                }
                out.push(Effect::Log(Note::notice("Master replied to PING, replication can continue...")));
                out.push(Effect::Send { conn, bytes: self.introduction(stream) });
                self.wait_for(if self.config.password.is_some() { Step::Auth } else { Step::Port });
            }
            Step::Auth if refused => {
                out.push(Effect::Log(Note::warning(format!("Unable to AUTH to MASTER: {}", text(line)))));
                self.retry(now, out);
            }
            Step::Auth => self.wait_for(Step::Port),
            Step::Port => {
                out.extend(refused.then(|| unknown("listening-port")));
                self.wait_for(if self.config.ip.is_some() { Step::Ip } else { Step::Capa });
            }
            Step::Ip => {
                out.extend(refused.then(|| unknown("ip-address")));
                self.wait_for(Step::Capa);
            }
            Step::Capa => {
                out.extend(refused.then(|| unknown("capa")));
                self.psync(conn, stream, out);
                self.wait_for(Step::Psync);
            }
            Step::Psync => self.psync_reply(now, conn, line, stream, out),
        }
    }

    pub(super) fn wait_for(&mut self, next: Step) {
        if let State::Handshake { step, .. } = &mut self.state {
            *step = next;
        }
    }

    /// AUTH, port, address and capabilities in one write, as Redis sends them. Every make ignores capabilities that it
    /// does not know, so ours (that we can go back, and where our former histories ended) travel there.
    pub(super) fn introduction(&self, stream: &Stream) -> Vec<u8> {
        let config = &self.config;
        let mut bytes = Vec::new();
        if let Some(password) = &config.password {
            bytes.extend(match &config.user {
                Some(user) => request(&[b"AUTH", user, password]),
                None => request(&[b"AUTH", password]),
            });
        }
        bytes.extend(request(&[b"REPLCONF", b"listening-port", config.port.to_string().as_bytes()]));
        if let Some(ip) = &config.ip {
            bytes.extend(request(&[b"REPLCONF", b"ip-address", ip]));
        }
        let mut capa: Vec<Vec<u8>> = vec![b"eof".to_vec(), b"psync2".to_vec(), b"history".to_vec()];
        if config.rewind {
            capa.push(b"rewind".to_vec());
        }
        let former = stream.history().former().iter();
        capa.extend(former.map(|former| format!("former:{}:{}", former.id, former.end).into_bytes()));
        let mut words: Vec<&[u8]> = vec![b"REPLCONF"];
        for value in &capa {
            words.extend([b"capa".as_slice(), value]);
        }
        bytes.extend(request(&words));
        bytes
    }

    pub(super) fn may_continue(&self, stream: &Stream) -> bool {
        self.asking == Asking::Partial && stream.history().standing() != Standing::Blank
    }

    pub(super) fn psync(&self, conn: ConnId, stream: &Stream, out: &mut Vec<Effect>) {
        let partial = self.may_continue(stream);
        let (id, next) = match partial {
            true => {
                (stream.history().id().to_string(), (stream.end().0 + u64::from(!planted(Bug::AsksTwice))).to_string())
            }
            false => ("?".to_owned(), "-1".to_owned()),
        };
        out.push(Effect::Log(match partial {
            true => Note::notice(format!("Trying a partial resynchronization (request {id}:{next}).")),
            false => Note::notice("Partial resynchronization not possible (no cached master)"),
        }));
        let mut words: Vec<&[u8]> = vec![b"PSYNC", id.as_bytes(), next.as_bytes()];
        if self.target.as_ref().is_some_and(|target| target.failover) {
            words.push(b"FAILOVER");
        }
        out.push(Effect::Send { conn, bytes: request(&words) });
    }

    pub(super) fn psync_reply(
        &mut self,
        now: Millis,
        conn: ConnId,
        line: &[u8],
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        if line.is_empty() {
            return; // "Still there": the copy is being prepared.
        }
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        if self.hands_over() {
            let accepted = matches!(words[0], b"+CONTINUE" | b"+FULLRESYNC");
            self.handed_over(now, accepted, out);
            if !accepted {
                return;
            }
        }
        match words[..] {
            [b"+CONTINUE", ref rest @ ..] if self.may_continue(stream) => {
                out.push(Effect::Log(Note::notice("Successful partial resynchronization with master.")));
                let id = rest.first().and_then(|id| ReplId::parse(id)).unwrap_or(stream.history().id());
                let resumed = stream.history().standing() == Standing::Resumed;
                let left = rest.get(1).and_then(|end| parse_i64(end)).and_then(|end| u64::try_from(end).ok());
                let changed = stream.adopt(id, left.map(Offset));
                if changed {
                    out.push(Effect::Log(Note::notice(format!("Master replication ID changed to {id}"))));
                }
                if changed || resumed {
                    out.push(Effect::HistoryChanged);
                }
                if changed {
                    out.push(Effect::DropReplicas { why: DropReason::NewId });
                }
                out.push(Effect::Log(Note::notice(
                    "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
                )));
                self.start_stream(now, conn, stream, out);
            }
            [b"+FULLRESYNC", id, at, ref rest @ ..] => {
                let at = parse_i64(at).and_then(|at| u64::try_from(at).ok());
                let (Some(id), Some(at)) = (ReplId::parse(id), at) else {
                    out.push(Effect::Log(Note::warning("Master replied with wrong +FULLRESYNC syntax.")));
                    return self.retry(now, out);
                };
                out.push(Effect::Log(Note::notice(format!("Full resync from master: {id}:{at}"))));
                if let Some(after) = rest.first().and_then(|after| parse_i64(after)) {
                    out.push(Effect::Log(Note::warning(format!(
                        "What this replica holds after offset {after} up to offset {} is not in its master's history, \
                         and gives way to the copy.",
                        stream.end()
                    ))));
                }
                let at = Offset(at);
                out.push(Effect::ExpectCopy { conn, id, at });
                self.state = State::Receiving { conn, id, at, total: None, read: 0, heard: now };
            }
            [b"+REWIND", id, to] => {
                let to = parse_i64(to).and_then(|to| u64::try_from(to).ok());
                let (Some(id), Some(to)) = (ReplId::parse(id), to) else {
                    out.push(Effect::Log(Note::warning(format!(
                        "Unexpected reply to PSYNC from master: {}",
                        text(line)
                    ))));
                    return self.retry(now, out);
                };
                let to = Offset(to);
                if to >= stream.end() {
                    // Not back but nowhere: the two do not agree on what they share.
                    self.asking = Asking::Full;
                    out.push(Effect::Log(Note::warning(format!(
                        "Master wants this replica to go back to {id}:{to}, where it stands; asking for a full copy."
                    ))));
                    return self.retry(now, out);
                }
                out.push(Effect::Log(Note::notice(format!(
                    "This replica has diverged from its master after {id}:{to}; going back to there."
                ))));
                out.push(Effect::Close { conn });
                out.push(Effect::Rewind { id, to });
                self.state = State::Rewinding;
            }
            _ => {
                let said = text(line);
                let line = if line.starts_with(b"-NOMASTERLINK") || line.starts_with(b"-LOADING") {
                    Note::notice(format!("Master is currently unable to PSYNC but should be in the future: {said}"))
                } else if line.starts_with(b"+FULLRESYNC") {
                    Note::warning("Master replied with wrong +FULLRESYNC syntax.")
                } else if line.starts_with(b"-ERR") {
                    Note::notice(format!("Master does not support PSYNC or is in error state (reply: {said})"))
                } else {
                    Note::warning(format!("Unexpected reply to PSYNC from master: {said}"))
                };
                out.push(Effect::Log(line));
                self.retry(now, out);
            }
        }
    }
}

/// A request as RESP.
pub(in crate::replication) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
