//! CLIENT: what a connection is told of itself and of the others, and what it may do to them.
//!
//! `choose` reads which clients are meant (LIST and KILL), `control` acts on others (KILL, PAUSE, UNBLOCK), and the plain
//! settings of a connection stand here.

mod choose;
mod control;
mod tracking;

use super::connection::{check_name, is_plain};
use super::help::help;
use crate::command::spec::{ADMIN, Flags, Group, LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal, Replies, client_lines};

pub const ROWS: &[Spec] = &[spec("client", -2, NONE, Group::Connection, |_, _| Err(Refusal::Syntax))
    .doc("2.4.0", "A container for client connection commands.")
    .with(SUBS)];

const ANY: Flags = NOSCRIPT.or(LOADING).or(STALE);
const OPERATOR: Flags = ADMIN.or(ANY);

const fn sub(name: &'static str, arity: i16, flags: Flags, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, flags, Group::Connection, run).sub_of("client")
}

const SUBS: &[Spec] = &[
    sub("caching", 3, ANY, tracking::caching)
        .doc("6.0.0", "Instructs the server whether to track the keys in the next request."),
    sub("getname", 2, ANY, getname).doc("2.6.9", "Returns the name of the connection."),
    sub("getredir", 2, ANY, tracking::getredir)
        .doc("6.0.0", "Returns the client ID to which the connection's tracking notifications are redirected."),
    sub("help", 2, LOADING.or(STALE), |cx, _| help(cx, HELP))
        .doc("5.0.0", "Returns helpful text about the different subcommands."),
    sub("id", 2, ANY, id).doc("5.0.0", "Returns the unique client ID of the connection."),
    sub("info", 2, ANY, info).doc("6.2.0", "Returns information about the connection."),
    sub("kill", -3, OPERATOR, control::kill).doc("2.4.0", "Terminates open connections."),
    sub("list", -2, OPERATOR, choose::list).doc("2.4.0", "Lists open connections."),
    sub("no-evict", 3, OPERATOR, no_evict).doc("7.0.0", "Sets the client eviction mode of the connection."),
    sub("no-touch", 3, ANY, no_touch)
        .doc("7.2.0", "Controls whether commands sent by the client affect the LRU/LFU of accessed keys."),
    sub("pause", -3, OPERATOR, control::pause).doc("3.0.0", "Suspends commands processing."),
    sub("reply", 3, ANY, reply).doc("3.2.0", "Instructs the server whether to reply to commands."),
    sub("setinfo", 4, ANY, setinfo).doc("7.2.0", "Sets information specific to the client or connection."),
    sub("setname", 3, ANY, setname).doc("2.6.9", "Sets the connection name."),
    sub("tracking", -3, ANY, tracking::tracking)
        .doc("6.0.0", "Controls server-assisted client-side caching for the connection."),
    sub("trackinginfo", 2, ANY, tracking::trackinginfo)
        .doc("6.2.0", "Returns information about server-assisted client-side caching for the connection."),
    sub("unblock", -3, OPERATOR, control::unblock)
        .doc("5.0.0", "Unblocks a client blocked by a blocking command from a different connection."),
    sub("unpause", 2, OPERATOR, control::unpause).doc("6.2.0", "Resumes processing commands from paused clients."),
];

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * ID <client-id>",
    "      Kill connections by client id.",
    "    * MAXAGE <maxage>",
    "      Kill connections older than the specified age.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Control server assisted client side caching.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch LRU/LFU stats when this mode is on.",
];

/// CLIENT ID
fn id(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let id = cx.client().id;
    cx.reply().int(id as i64);
    Ok(())
}

/// CLIENT GETNAME
fn getname(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let name = cx.client().name.clone();
    match name.is_empty() {
        true => cx.reply().null(),
        false => cx.reply().bulk(&name),
    }
    Ok(())
}

/// CLIENT SETNAME name
fn setname(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.bytes()?;
    check_name(name)?;
    cx.client().name = name.to_vec();
    cx.reply().ok();
    Ok(())
}

/// CLIENT SETINFO LIB-NAME name | LIB-VER version
fn setinfo(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (option, value) = (args.bytes()?, args.bytes()?);
    let shown = String::from_utf8_lossy(option);
    let is_name = option.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !option.eq_ignore_ascii_case(b"lib-ver") {
        return Err(Refusal::err(format_args!("Unrecognized option '{shown}'")));
    }
    if !is_plain(value) {
        let text = format!("{shown} cannot contain spaces, newlines or special characters.");
        return Err(Refusal::err(text));
    }
    let client = cx.client();
    let place = if is_name { &mut client.lib_name } else { &mut client.lib_ver };
    *place = value.to_vec();
    cx.reply().ok();
    Ok(())
}

/// CLIENT INFO
fn info(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let line = client_lines(cx, &[cx.slot], args);
    cx.reply().verbatim("txt", &line);
    Ok(())
}

/// CLIENT REPLY ON | OFF | SKIP
fn reply(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.take("ON") {
        cx.client().replies = Replies::On;
        cx.reply().ok();
    } else if args.take("OFF") {
        cx.client().replies = Replies::Off;
    } else if args.take("SKIP") {
        if cx.client().replies != Replies::Off {
            cx.client().replies = Replies::SkipNext;
        }
    } else {
        return Err(Refusal::Syntax);
    }
    Ok(())
}

/// CLIENT NO-EVICT ON | OFF
fn no_evict(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.client().no_evict = on_or_off(args)?;
    cx.reply().ok();
    Ok(())
}

/// CLIENT NO-TOUCH ON | OFF
fn no_touch(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.client().no_touch = on_or_off(args)?;
    cx.reply().ok();
    Ok(())
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool, Refusal> {
    match (args.take("ON"), args.take("OFF")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Refusal::Syntax),
    }
}
