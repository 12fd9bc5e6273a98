//! What needs Redis Cluster, of a node that is none: known to COMMAND, and refused as a Redis without cluster mode does.

use crate::command::spec::{
    ADMIN, Categories, FAST, Flags, Group, LOADING, NO_ASYNC_LOADING, NONE, NOSCRIPT, STALE, Spec, spec,
};
use crate::command::{Args, Cx, Outcome, Refusal};

pub const ROWS: &[Spec] = &[
    spec("cluster", -2, NONE, Group::Cluster, no_cluster)
        .doc("3.0.0", "A container for Redis Cluster commands.")
        .with(SUBS),
    spec("asking", 1, FAST, Group::Cluster, no_cluster)
        .acl(Categories::CONNECTION)
        .doc("3.0.0", "Says that the next command follows an -ASK redirection."),
    spec("readonly", 1, FAST.or(LOADING).or(STALE), Group::Cluster, no_cluster)
        .acl(Categories::CONNECTION)
        .doc("3.0.0", "Enables read-only queries for a connection to a Redis Cluster replica node."),
    spec("readwrite", 1, FAST.or(LOADING).or(STALE), Group::Cluster, no_cluster)
        .acl(Categories::CONNECTION)
        .doc("3.0.0", "Enables read-write queries for a connection to a Redis Cluster replica node."),
];

const fn sub(name: &'static str, arity: i16, flags: Flags, since: &'static str, summary: &'static str) -> Spec {
    spec(name, arity, flags.or(STALE), Group::Cluster, no_cluster).sub_of("cluster").doc(since, summary)
}

/// What changes the cluster.
const CHANGES: Flags = ADMIN.or(NO_ASYNC_LOADING);

const SUBS: &[Spec] = &[
    sub("addslots", -3, CHANGES, "3.0.0", "Gives hash slots to a node."),
    sub("addslotsrange", -4, CHANGES, "7.0.0", "Gives ranges of hash slots to a node."),
    sub("bumpepoch", 2, CHANGES, "3.0.0", "Raises the configuration epoch of the cluster."),
    sub("count-failure-reports", 3, ADMIN, "3.0.0", "Counts the reports that a node has failed."),
    sub("countkeysinslot", 3, NONE, "3.0.0", "Counts the keys of a hash slot."),
    sub("delslots", -3, CHANGES, "3.0.0", "Takes hash slots from a node."),
    sub("delslotsrange", -4, CHANGES, "7.0.0", "Takes ranges of hash slots from a node."),
    sub("failover", -2, CHANGES, "3.0.0", "Makes a replica take over from its master."),
    sub("flushslots", 2, CHANGES, "3.0.0", "Takes all hash slots from a node."),
    sub("forget", 3, CHANGES, "3.0.0", "Takes a node out of the table of nodes."),
    sub("getkeysinslot", 4, NONE, "3.0.0", "Returns keys of a hash slot."),
    sub("help", 2, LOADING, "5.0.0", "Returns helpful text about the different subcommands."),
    sub("info", 2, NONE, "3.0.0", "Returns the state of the cluster as a node sees it."),
    sub("keyslot", 3, NONE, "3.0.0", "Returns the hash slot of a key."),
    sub("links", 2, NONE, "7.0.0", "Returns the links between a node and its peers."),
    sub("meet", -4, CHANGES, "3.0.0", "Makes a node greet another one."),
    sub("myid", 2, NONE, "3.0.0", "Returns the id of the node."),
    sub("myshardid", 2, NONE, "7.2.0", "Returns the id of the node's shard."),
    sub("nodes", 2, NONE, "3.0.0", "Returns the nodes and their slots."),
    sub("replicas", 3, ADMIN, "5.0.0", "Returns the replicas of a master."),
    sub("replicate", 3, CHANGES, "3.0.0", "Makes a node a replica of a master."),
    sub("reset", -2, ADMIN.or(NOSCRIPT), "3.0.0", "Makes a node forget its cluster."),
    sub("saveconfig", 2, CHANGES, "3.0.0", "Writes the node's view of the cluster to its file."),
    sub("set-config-epoch", 3, CHANGES, "3.0.0", "Gives a new node its configuration epoch."),
    sub("setslot", -4, CHANGES, "3.0.0", "Binds a hash slot to a node."),
    sub("shards", 2, LOADING, "7.0.0", "Returns the shards and their slots."),
    sub("slaves", 3, ADMIN, "3.0.0", "Returns the replicas of a master."),
    sub("slots", 2, LOADING, "3.0.0", "Returns the slots and their nodes."),
];

/// What needs a cluster.
fn no_cluster(_: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Refusal::err("This instance has cluster support disabled"))
}
