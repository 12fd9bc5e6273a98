//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queuing is done by `call`; here a transaction begins, ends and is executed.
//!
//! All effects of one EXEC are one unit of the stream. Where a stream is obeyed, its MULTI ... EXEC is queued and
//! applied in the same way, so that nothing of an unfinished one has touched the keyspace.

use crate::command::spec::{
    ALLOW_BUSY, FAST, Flags, Group, LOADING, NOSCRIPT, SKIP_SLOWLOG, STALE, Spec, keys_from, spec,
};
use crate::command::{Args, Context, Cx, Multi, Outcome, Refusal, Watched};

const ALWAYS: Flags = NOSCRIPT.or(LOADING).or(STALE);
const QUICK: Flags = ALWAYS.or(FAST).or(ALLOW_BUSY);

pub const ROWS: &[Spec] = &[
    spec("multi", 1, QUICK, Group::Transactions, multi).doc("1.2.0", "Starts a transaction."),
    spec("exec", 1, ALWAYS.or(SKIP_SLOWLOG), Group::Transactions, exec)
        .doc("1.2.0", "Executes all commands in a transaction."),
    spec("discard", 1, QUICK, Group::Transactions, discard).doc("2.0.0", "Discards a transaction."),
    spec("watch", -2, QUICK, Group::Transactions, watch)
        .keys(&[keys_from(1, 1, &["RO"])])
        .doc("2.2.0", "Monitors changes to keys to determine the execution of a transaction."),
    spec("unwatch", 1, QUICK, Group::Transactions, unwatch)
        .doc("2.2.0", "Forgets about watched keys of a transaction."),
];

/// MULTI
fn multi(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    if cx.client().multi.is_some() {
        return Err(Refusal::err("MULTI calls can not be nested"));
    }
    cx.client().multi = Some(Box::default());
    cx.reply().ok();
    Ok(())
}

/// EXEC
fn exec(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    let Some(multi) = cx.client().multi.take() else { return Err(Refusal::err("EXEC without MULTI")) };
    let stale = cx.client().watch_broken || a_watched_key_expired(cx);
    let slot = cx.slot;
    cx.server.unwatch(slot);
    if multi.broken {
        return Err(Refusal::Text("EXECABORT Transaction discarded because of previous errors.".into()));
    }
    if stale {
        cx.reply().null_array();
        return Ok(());
    }
    let spec = cx.spec;
    cx.server.in_exec = true;
    let applied = if cx.obeys() { apply(cx, &multi) } else { run(cx, &multi) };
    cx.server.in_exec = false;
    cx.spec = spec;
    applied
}

fn run(cx: &mut Cx<'_>, multi: &Multi) -> Outcome {
    cx.reply().array(multi.queue.len());
    let slot = cx.slot;
    for (spec, words) in &multi.queue {
        let mut args = queued(spec, words);
        match cx.server.permit(slot, spec, &args, Context::Multi) {
            Ok(()) => cx.run(spec, &mut args),
            Err(denied) => {
                let refusal = Refusal::Text(denied.changed_text().into());
                cx.server.stats.error(refusal.code());
                cx.reply().error(&refusal.text());
            }
        }
    }
    Ok(())
}

/// A refusal in the middle does not stop the rest: the master has executed it all. It is reported at the end.
fn apply(cx: &mut Cx<'_>, multi: &Multi) -> Outcome {
    let mut result = Ok(());
    for (spec, words) in &multi.queue {
        cx.spec = spec;
        result = result.and((spec.run)(cx, &mut queued(spec, words)));
    }
    result
}

fn queued<'q>(spec: &Spec, words: &'q crate::command::OwnedArgs) -> Args<'q> {
    let mut args = words.args();
    args.skip(usize::from(spec.parent.is_some()));
    args
}

/// A key that was put under WATCH while it lived, and whose time has come since, whether it was removed or not.
fn a_watched_key_expired(cx: &mut Cx<'_>) -> bool {
    let server = &*cx.server;
    let mut watching = server.clients[cx.slot].watching.iter();
    watching.any(|watched| !watched.expired && server.due(watched.db, &watched.key) == Some(true))
}

/// DISCARD
fn discard(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    if cx.client().multi.take().is_none() {
        return Err(Refusal::err("DISCARD without MULTI"));
    }
    let slot = cx.slot;
    cx.server.unwatch(slot);
    cx.reply().ok();
    Ok(())
}

/// WATCH key [key ...]
fn watch(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if cx.client().multi.is_some() {
        return Err(Refusal::err("WATCH inside MULTI is not allowed"));
    }
    let (slot, db) = (cx.slot, cx.db);
    while let Some(key) = args.maybe() {
        let expired = cx.server.due(db, key) == Some(true);
        cx.server.watch(slot, Watched { db, key: key.to_vec(), expired });
    }
    cx.reply().ok();
    Ok(())
}

/// UNWATCH
fn unwatch(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    let slot = cx.slot;
    cx.server.unwatch(slot);
    cx.reply().ok();
    Ok(())
}
