//! What one client may do to others: KILL, PAUSE, UNPAUSE, UNBLOCK.

use super::choose::{Filter, is_there};
use crate::base::number;
use crate::command::{Args, Blocked, Closing, Cx, Outcome, PauseBy, Refusal, Slot};

/// CLIENT KILL ip:port, or CLIENT KILL option value \[option value ...\]
pub fn kill(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let old_form = args.left() == 1;
    let filter = match old_form {
        true => Filter { addr: Some(args.bytes()?), ..Filter::default() },
        false => Filter::read(args, &cx.server.acl)?,
    };
    let (me, now) = (cx.slot, cx.server.mono);
    let clients = cx.server.clients.iter();
    let hit: Vec<Slot> = clients
        .filter(|(slot, client)| is_there(client) && filter.fits(client, *slot == me, now))
        .map(|(slot, _)| slot)
        .collect();
    for &slot in &hit {
        cx.server.close(slot, if slot == me { Closing::AfterReplies } else { Closing::Now });
    }
    match (old_form, hit.len()) {
        (true, 0) => return Err(Refusal::err("No such client")),
        (true, _) => cx.reply().ok(),
        (false, count) => cx.reply().int(count as i64),
    }
    Ok(())
}

/// CLIENT PAUSE timeout \[WRITE | ALL\]. A pause under way is only ever made longer and stricter.
pub fn pause(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 2 {
        return Err(wrong_form(args));
    }
    let mut mode = *args;
    mode.skip(1);
    let all = match mode.left() {
        0 => true,
        _ if mode.take("WRITE") => false,
        _ if mode.take("ALL") => true,
        _ => return Err(Refusal::err("CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let span = args.timeout_ms(cx.now)?;
    let all = all || cx.server.pause_by(PauseBy::Client).is_some_and(|before| before.all);
    let until = cx.server.mono + span;
    cx.server.begin_pause(PauseBy::Client, until, all);
    cx.reply().ok();
    Ok(())
}

/// The form does not fit although the least number of words is there.
fn wrong_form(args: &Args<'_>) -> Refusal {
    let sub = String::from_utf8_lossy(args.at(1));
    Refusal::err(format_args!("unknown subcommand or wrong number of arguments for '{sub}'. Try CLIENT HELP."))
}

/// CLIENT UNPAUSE
pub fn unpause(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.end_pause(PauseBy::Client);
    cx.reply().ok();
    Ok(())
}

/// CLIENT UNBLOCK id \[TIMEOUT | ERROR\]: WAIT and waiting for keys have an end that another may bring about.
pub fn unblock(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let id = args.bytes()?;
    let with_error = match (args.take("TIMEOUT"), args.take("ERROR")) {
        (_, true) => true,
        (true, _) => false,
        _ if args.left() == 0 => false,
        _ => return Err(Refusal::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    args.finish().map_err(|_| wrong_form(args))?;
    let id = number::parse_i64(id).ok_or(Refusal::NotInteger)?;
    let waits = |blocked: &Option<Blocked>| matches!(blocked, Some(Blocked::Wait { .. } | Blocked::Keys { .. }));
    let mut clients = cx.server.clients.iter();
    let target = clients.find(|(_, client)| client.id as i64 == id && waits(&client.blocked)).map(|(slot, _)| slot);
    if let Some(slot) = target {
        let error = with_error.then_some("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        cx.server.end_wait(slot, error);
        cx.server.end_await(slot, error);
    }
    cx.reply().int(i64::from(target.is_some()));
    Ok(())
}
