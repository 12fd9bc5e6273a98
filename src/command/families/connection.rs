//! The connection itself: PING, ECHO, QUIT, RESET, HELLO, AUTH.

use crate::base::{REDIS_VERSION, number};
use crate::command::acl::DEFAULT;
use crate::command::spec::{ALLOW_BUSY, FAST, Flags, Group, LOADING, NO_AUTH, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Closing, Cx, Kind, Outcome, Refusal, Replies};
use crate::resp::Proto;

const BEFORE_AUTH: Flags = NOSCRIPT.or(LOADING).or(STALE).or(FAST).or(NO_AUTH).or(ALLOW_BUSY);

pub const ROWS: &[Spec] = &[
    spec("ping", -1, FAST, Group::Connection, ping).doc("1.0.0", "Returns the server's liveliness response."),
    spec("echo", 2, LOADING.or(STALE).or(FAST), Group::Connection, echo).doc("1.0.0", "Returns the given string."),
    spec("quit", -1, BEFORE_AUTH, Group::Connection, quit).doc("1.0.0", "Closes the connection."),
    spec("reset", 1, BEFORE_AUTH, Group::Connection, reset).doc("6.2.0", "Resets the connection."),
    spec("hello", -1, BEFORE_AUTH, Group::Connection, hello).doc("6.0.0", "Handshakes with the server."),
    spec("auth", -2, BEFORE_AUTH, Group::Connection, auth).doc("1.0.0", "Authenticates the connection."),
];

/// PING \[message\]; the array form for a RESP2 client in subscribe mode, where only arrays may come.
fn ping(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(Refusal::Arity("ping".into()));
    }
    let subscribed = cx.client().listens() && cx.proto == Proto::Resp2;
    let message = args.maybe();
    let mut reply = cx.reply();
    match message {
        message if subscribed => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(message.unwrap_or_default());
        }
        Some(message) => reply.bulk(message),
        None => reply.simple("PONG"),
    }
    Ok(())
}

/// ECHO message
fn echo(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let message = args.bytes()?;
    cx.reply().bulk(message);
    Ok(())
}

/// QUIT
fn quit(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply().ok();
    let slot = cx.slot;
    cx.server.close(slot, Closing::AfterReplies);
    Ok(())
}

/// RESET: as a new connection, but for its id and what it said of its library.
fn reset(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.client().kind != Kind::Normal {
        return Err(Refusal::err("can only reset normal client connections"));
    }
    let slot = cx.slot;
    cx.server.unwatch(slot);
    cx.server.forget_subscriptions(slot);
    cx.server.untrack(slot);
    cx.server.leave_monitors(slot);
    cx.server.become_default(slot);
    (cx.db, cx.proto) = (0, Proto::Resp2);
    let client = cx.client();
    client.multi = None;
    client.name.clear();
    client.replies = Replies::On;
    (client.no_evict, client.no_touch) = (false, false);
    cx.reply().simple("RESET");
    Ok(())
}

/// HELLO \[2|3 \[AUTH user password\] \[SETNAME name\]\]
fn hello(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let proto = match args.maybe() {
        None => None,
        Some(word) => match number::parse_i64(word) {
            None => return Err(Refusal::err("Protocol version is not an integer or out of range")),
            Some(2) => Some(Proto::Resp2),
            Some(3) => Some(Proto::Resp3),
            Some(_) => return Err(Refusal::Text("NOPROTO unsupported protocol version".into())),
        },
    };
    let (mut credentials, mut name) = (None, None);
    while args.left() > 0 {
        if args.left() > 2 && args.take("AUTH") {
            credentials = Some((args.bytes()?, args.bytes()?));
        } else if args.left() > 1 && args.take("SETNAME") {
            let wanted = args.bytes()?;
            check_name(wanted)?;
            name = Some(wanted);
        } else {
            let option = String::from_utf8_lossy(args.bytes()?);
            return Err(Refusal::err(format_args!("Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(cx, args, user, password)?;
    }
    if !cx.client().authenticated && cx.server.needs_password() {
        return Err(Refusal::Text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time"
                .into(),
        ));
    }
    if let Some(name) = name {
        cx.client().name = name.to_vec();
    }
    cx.proto = proto.unwrap_or(cx.proto);
    let id = cx.client().id as i64;
    let role: &[u8] = if cx.server.is_replica() { b"replica" } else { b"master" };
    let version = if cx.proto == Proto::Resp3 { 3 } else { 2 };
    let mut reply = cx.reply();
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(version);
    reply.bulk(b"id");
    reply.int(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(role);
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// AUTH \[username\] password
fn auth(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(Refusal::Syntax);
    }
    if args.len() == 2 && cx.server.acl.user(DEFAULT).takes_any_password() {
        return Err(Refusal::err(
            "AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        ));
    }
    let first = args.bytes()?;
    let (user, password) = match args.maybe() {
        Some(password) => (first, password),
        None => (&b"default"[..], first),
    };
    authenticate(cx, args, user, password)?;
    cx.reply().ok();
    Ok(())
}

/// The client is that user from now on, or is told that it cannot be.
fn authenticate(cx: &mut Cx<'_>, args: &Args<'_>, user: &[u8], password: &[u8]) -> Outcome {
    match cx.server.authenticate(cx.slot, user, password, args.at(0)) {
        true => Ok(()),
        false => Err(Refusal::Text("WRONGPASS invalid username-password pair or user is disabled.".into())),
    }
}

/// A client's name (or what it says of its library) is printable and has no blanks.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// What CLIENT SETNAME takes; the empty name takes the name away.
pub fn check_name(name: &[u8]) -> Outcome {
    match is_plain(name) {
        true => Ok(()),
        false => Err(Refusal::err("Client names cannot contain spaces, newlines or special characters.")),
    }
}
