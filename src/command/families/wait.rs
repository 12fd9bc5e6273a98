//! WAIT and WAITAOF: the client's own last write is what the replicas, or this node's disk and theirs, must have.

use crate::base::Millis;
use crate::command::spec::{BLOCKING, Categories, Group, Spec, spec};
use crate::command::{Args, Blocked, Cx, Outcome, Refusal};

pub const ROWS: &[Spec] = &[
    spec("wait", 3, BLOCKING, Group::Generic, wait).acl(Categories::CONNECTION).doc(
        "3.0.0",
        "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
    ),
    spec("waitaof", 4, BLOCKING, Group::Generic, waitaof).acl(Categories::CONNECTION).doc(
        "7.2.0",
        "Blocks until the client's earlier writes are on the disk of this server, of replicas, or of both.",
    ),
];

/// The answer to a WAITAOF that needs the log where there is none.
pub const NO_LOG: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// WAIT numreplicas timeout
fn wait(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if cx.server.is_replica() {
        return Err(Refusal::err(
            "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let replicas = args.int()?;
    let timeout = args.timeout_ms(cx.now)?;
    let offset = cx.client().written;
    let acked = cx.server.source.acked_count(offset) as i64;
    if acked >= replicas || !cx.may_block() {
        cx.reply().int(acked);
        return Ok(());
    }
    block(cx, None, replicas, timeout);
    Ok(())
}

/// WAITAOF numlocal numreplicas timeout
fn waitaof(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let local = match args.int()? {
        local @ (0 | 1) => local,
        _ => return Err(Refusal::err("value is out of range, value must between 0 and 1")),
    };
    let replicas = args.positive()? as i64;
    let timeout = args.timeout_ms(cx.now)?;
    if cx.server.is_replica() {
        return Err(Refusal::err(
            "WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local \
             and are not propagated.",
        ));
    }
    if local > 0 && !cx.server.config.settings.appendonly {
        return Err(Refusal::Text(NO_LOG.into()));
    }
    let offset = cx.client().written;
    let (here, there) = cx.server.synced_counts(offset);
    if (here >= local && there >= replicas) || !cx.may_block() {
        let mut reply = cx.reply();
        reply.array(2);
        reply.int(here);
        reply.int(there);
        return Ok(());
    }
    block(cx, Some(local), replicas, timeout);
    Ok(())
}

/// `local`: how many logs of this node, for WAITAOF.
fn block(cx: &mut Cx<'_>, local: Option<i64>, replicas: i64, timeout: Millis) {
    let deadline = (timeout.0 > 0).then(|| cx.server.mono + timeout);
    let offset = cx.client().written;
    cx.block(Blocked::Wait { local, replicas, offset, deadline });
    cx.server.ask_for_acks();
}
