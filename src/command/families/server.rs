//! Small answers about the node: TIME, and those of subsystems that it does not have.

use super::help::help;
use crate::command::spec::{ADMIN, Categories, FAST, Group, LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};

pub const ROWS: &[Spec] = &[
    spec("time", 1, LOADING.or(STALE).or(FAST), Group::Server, time).doc("2.6.0", "Returns the server time."),
    spec("module", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
        .doc("4.0.0", "A container for module commands.")
        .with(&[
            spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| {
                help(cx, &["LIST", "    Return a list of loaded modules."])
            })
            .sub_of("module")
            .doc("5.0.0", "Returns helpful text about the different subcommands."),
            spec("list", 2, ADMIN.or(NOSCRIPT), Group::Server, module_list)
                .sub_of("module")
                .doc("4.0.0", "Returns all loaded modules."),
        ]),
    spec("cluster", -2, NONE, Group::Cluster, no_cluster).doc("3.0.0", "A container for Redis Cluster commands."),
    spec("readonly", 1, FAST.or(LOADING).or(STALE), Group::Cluster, no_cluster)
        .acl(Categories::CONNECTION)
        .doc("3.0.0", "Enables read-only queries for a connection to a Redis Cluster replica node."),
    spec("readwrite", 1, FAST.or(LOADING).or(STALE), Group::Cluster, no_cluster)
        .acl(Categories::CONNECTION)
        .doc("3.0.0", "Enables read-write queries for a connection to a Redis Cluster replica node."),
];

/// TIME: seconds and microseconds of the turn.
fn time(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let now = cx.now;
    let mut reply = cx.reply();
    reply.array(2);
    reply.bulk_int(now.seconds());
    reply.bulk_int(now.0.rem_euclid(1000) * 1000);
    Ok(())
}

/// MODULE LIST
fn module_list(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply().array(0);
    Ok(())
}

/// What needs a cluster.
fn no_cluster(_: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Refusal::err("This instance has cluster support disabled"))
}
