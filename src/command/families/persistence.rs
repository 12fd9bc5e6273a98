//! Saving and stopping: a forced checkpoint under the names that Redis has for it, and SHUTDOWN.

use crate::command::spec::{
    ADMIN, ALLOW_BUSY, Categories, FAST, Flags, Group, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, Spec, spec,
};
use crate::command::{Args, Ask, Blocked, Cx, Outcome, Refusal, Rewrite, Save};

const SAVE: Flags = NO_ASYNC_LOADING.or(ADMIN).or(NOSCRIPT);

pub const ROWS: &[Spec] = &[
    spec("save", 1, SAVE.or(NO_MULTI), Group::Server, save)
        .doc("1.0.0", "Synchronously saves the database(s) to disk."),
    spec("bgsave", -1, SAVE, Group::Server, bgsave).doc("1.0.0", "Asynchronously saves the database(s) to disk."),
    spec("bgrewriteaof", 1, SAVE, Group::Server, bgrewriteaof)
        .doc("1.0.0", "Asynchronously rewrites the append-only file to disk."),
    spec("lastsave", 1, LOADING.or(STALE).or(FAST), Group::Server, lastsave)
        .acl(Categories::ADMIN.or(Categories::DANGEROUS))
        .doc("1.0.0", "Returns the Unix timestamp of the last successful save to disk."),
    spec("shutdown", -1, ADMIN.or(NOSCRIPT).or(LOADING).or(STALE).or(NO_MULTI).or(ALLOW_BUSY), Group::Server, shutdown)
        .doc("1.0.0", "Synchronously saves the database(s) to disk and shuts down the Redis server."),
];

/// SAVE: this client waits for the dump; the others do not.
fn save(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    if is_saving(cx) {
        return Err(Refusal::err("Background save already in progress"));
    }
    let waiting = Some(cx.server.waiter(cx.slot));
    cx.block(Blocked::Checkpoint);
    cx.ask(Ask::Dump { waiting });
    Ok(())
}

/// BGSAVE \[SCHEDULE\]
fn bgsave(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let schedule = args.take("SCHEDULE");
    args.finish()?;
    if is_saving(cx) {
        return Err(Refusal::err("Background save already in progress"));
    }
    // Behind a checkpoint that is under way.
    let scheduled = cx.server.in_exec || schedule && cx.server.persistence.checkpoint_since.is_some();
    cx.ask(Ask::Dump { waiting: None });
    cx.reply().simple(if scheduled { "Background saving scheduled" } else { "Background saving started" });
    Ok(())
}

/// BGREWRITEAOF: a checkpoint is what lets the log be cut.
fn bgrewriteaof(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.server.persistence.rewrite == Rewrite::Runs {
        return Err(Refusal::err("Background append only file rewriting already in progress"));
    }
    let scheduled = cx.server.in_exec || is_saving(cx);
    cx.ask(Ask::Checkpoint);
    cx.reply().simple(match scheduled {
        true => "Background append only file rewriting scheduled",
        false => "Background append only file rewriting started",
    });
    Ok(())
}

fn is_saving(cx: &Cx<'_>) -> bool {
    cx.server.persistence.save_since.is_some()
}

/// LASTSAVE
fn lastsave(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let at = cx.server.persistence.last_save.seconds();
    cx.reply().int(at);
    Ok(())
}

/// SHUTDOWN \[NOSAVE|SAVE\] \[NOW\] \[FORCE\] | ABORT. Answered only if the node does not stop.
fn shutdown(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut save, mut now, mut force, mut abort) = (Save::Default, false, false, false);
    let mut saves = [false; 2];
    while args.left() > 0 {
        if args.take("NOSAVE") {
            (save, saves[0]) = (Save::No, true);
        } else if args.take("SAVE") {
            (save, saves[1]) = (Save::Yes, true);
        } else if args.take("NOW") {
            now = true;
        } else if args.take("FORCE") {
            force = true;
        } else if args.take("ABORT") {
            abort = true;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    if saves == [true; 2] || (abort && (save != Save::Default || now || force)) {
        return Err(Refusal::Syntax);
    }
    if abort {
        if cx.server.stopping.take().is_none() {
            return Err(Refusal::err("No shutdown in progress."));
        }
        tracing::info!("Shutdown manually aborted.");
        cx.server.answer_shutdowns("ERR Errors trying to SHUTDOWN. Check logs.");
        cx.ask(Ask::ShutdownAborted);
        cx.reply().ok();
        return Ok(());
    }
    if let Some(busy) = cx.server.scripting.busy() {
        // Who asks is not the script, which may not call this: nothing can be saved in its midst.
        if save != Save::No {
            return Err(busy);
        }
    } else if !now && !cx.may_block() {
        return Err(Refusal::err("SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client"));
    }
    cx.block(Blocked::Shutdown);
    cx.ask(Ask::Shutdown { save, now, force });
    Ok(())
}
