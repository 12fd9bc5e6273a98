//! Which clients a CLIENT LIST or CLIENT KILL means.

use crate::base::{Millis, number};
use crate::command::acl::{Acl, UserId};
use crate::command::{Args, Client, Closing, Cx, Kind, Outcome, Refusal, Slot, client_lines};

/// The TYPE of a client, as these commands name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Normal,
    Replica,
    Pubsub,
    Master,
}

impl Type {
    pub fn read(word: &[u8]) -> Result<Type, Refusal> {
        Ok(match word.to_ascii_lowercase().as_slice() {
            b"normal" => Type::Normal,
            b"slave" | b"replica" => Type::Replica,
            b"pubsub" => Type::Pubsub,
            b"master" => Type::Master,
            _ => {
                let word = String::from_utf8_lossy(word);
                return Err(Refusal::err(format_args!("Unknown client type '{word}'")));
            }
        })
    }

    pub fn of(client: &Client) -> Type {
        match client.kind {
            Kind::Replica => Type::Replica,
            Kind::Stream => Type::Master,
            Kind::Normal if client.listens() => Type::Pubsub,
            Kind::Normal => Type::Normal,
        }
    }
}

/// A client that was killed in this turn is gone for others, though its connection is not closed yet.
pub fn is_there(client: &Client) -> bool {
    client.closing != Some(Closing::Now)
}

/// The filters of CLIENT KILL; all that are given must fit.
#[derive(Default)]
pub struct Filter<'a> {
    pub id: Option<u64>,
    pub kind: Option<Type>,
    pub addr: Option<&'a [u8]>,
    pub laddr: Option<&'a [u8]>,
    pub user: Option<UserId>,
    /// At least so old.
    pub age_s: Option<i64>,
    /// Whether the asker itself is spared.
    pub skip_me: bool,
}

impl<'a> Filter<'a> {
    /// `<option> <value>` pairs.
    pub fn read(args: &mut Args<'a>, acl: &Acl) -> Result<Self, Refusal> {
        let mut filter = Filter { skip_me: true, ..Filter::default() };
        while args.left() > 0 {
            if args.left() == 1 {
                return Err(Refusal::Syntax);
            }
            if args.take("ID") {
                let id = number::parse_i64(args.bytes()?).filter(|id| *id > 0);
                let id = id.ok_or_else(|| Refusal::err("client-id should be greater than 0"))?;
                filter.id = Some(id as u64);
            } else if args.take("MAXAGE") {
                let age = number::parse_i64(args.bytes()?);
                let age = age.ok_or_else(|| Refusal::err("maxage is not an integer or out of range"))?;
                if age <= 0 {
                    return Err(Refusal::err("maxage should be greater than 0"));
                }
                filter.age_s = Some(age);
            } else if args.take("TYPE") {
                filter.kind = Some(Type::read(args.bytes()?)?);
            } else if args.take("ADDR") {
                filter.addr = Some(args.bytes()?);
            } else if args.take("LADDR") {
                filter.laddr = Some(args.bytes()?);
            } else if args.take("USER") {
                let name = args.bytes()?;
                let user = acl
                    .find(name)
                    .ok_or_else(|| Refusal::err(format_args!("No such user '{}'", String::from_utf8_lossy(name))))?;
                filter.user = Some(user);
            } else if args.take("SKIPME") {
                filter.skip_me = match (args.take("YES"), args.take("NO")) {
                    (true, _) => true,
                    (_, true) => false,
                    _ => return Err(Refusal::Syntax),
                };
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(filter)
    }

    pub fn fits(&self, client: &Client, is_me: bool, now: Millis) -> bool {
        self.id.is_none_or(|id| client.id == id)
            && self.kind.is_none_or(|kind| Type::of(client) == kind)
            && self.addr.is_none_or(|addr| client.addr.as_bytes() == addr)
            && self.laddr.is_none_or(|laddr| client.laddr.as_bytes() == laddr)
            && self.user.is_none_or(|user| client.user == user)
            && self.age_s.is_none_or(|age| now.since(client.since).seconds() >= age)
            && !(self.skip_me && is_me)
    }
}

/// CLIENT LIST \[TYPE type | ID id \[id ...\]\]
pub fn list(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let clients = &cx.server.clients;
    let there = || clients.iter().filter(|(_, client)| is_there(client));
    let mut slots: Vec<Slot> = Vec::new();
    if args.left() == 2 && args.take("TYPE") {
        let kind = Type::read(args.bytes()?)?;
        slots.extend(there().filter(|(_, client)| Type::of(client) == kind).map(|(slot, _)| slot));
    } else if args.left() > 1 && args.take("ID") {
        while let Some(word) = args.maybe() {
            let id = number::parse_i64(word).ok_or_else(|| Refusal::err("Invalid client ID"))?;
            slots.extend(there().find(|(_, client)| client.id as i64 == id).map(|(slot, _)| slot));
        }
    } else if args.left() == 0 {
        slots.extend(there().map(|(slot, _)| slot));
        slots.sort_by_key(|slot| clients[*slot].id);
    } else {
        return Err(Refusal::Syntax);
    }
    let text = client_lines(cx, &slots, args);
    cx.reply().verbatim("txt", &text);
    Ok(())
}
