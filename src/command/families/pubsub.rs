//! PUBLISH, (P)SUBSCRIBE, (P)UNSUBSCRIBE, PUBSUB. Who listens to what is kept in `command::pubsub`.

use crate::base::glob;
use crate::command::spec::{FAST, Flags, Group, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, Spec, spec};
use crate::command::{Args, Cx, Origin, Outcome};

const LISTENS: Flags = PUBSUB.or(NOSCRIPT).or(LOADING).or(STALE);
const TELLS: Flags = PUBSUB.or(LOADING).or(STALE);

pub const ROWS: &[Spec] = &[
    spec("publish", 3, TELLS.or(FAST).or(MAY_REPLICATE), Group::PubSub, publish)
        .doc("2.0.0", "Posts a message to a channel."),
    spec("subscribe", -2, LISTENS, Group::PubSub, |cx, args| listen(cx, args, Sort::Channel))
        .doc("2.0.0", "Listens for messages published to channels."),
    spec("psubscribe", -2, LISTENS, Group::PubSub, |cx, args| listen(cx, args, Sort::Pattern))
        .doc("2.0.0", "Listens for messages published to channels that match one or more patterns."),
    spec("unsubscribe", -1, LISTENS, Group::PubSub, |cx, args| stop(cx, args, Sort::Channel))
        .doc("2.0.0", "Stops listening to messages posted to channels."),
    spec("punsubscribe", -1, LISTENS, Group::PubSub, |cx, args| stop(cx, args, Sort::Pattern))
        .doc("2.0.0", "Stops listening to messages published to channels that match one or more patterns."),
    spec("pubsub", -2, crate::command::spec::NONE, Group::PubSub, |_, _| Ok(()))
        .with(&[
            spec("channels", -2, TELLS, Group::PubSub, channels)
                .sub_of("pubsub")
                .doc("2.8.0", "Returns the active channels."),
            spec("numsub", -2, TELLS, Group::PubSub, numsub)
                .sub_of("pubsub")
                .doc("2.8.0", "Returns a count of subscribers to channels."),
            spec("numpat", 2, TELLS, Group::PubSub, numpat)
                .sub_of("pubsub")
                .doc("2.8.0", "Returns a count of unique pattern subscriptions."),
            spec("help", 2, LOADING.or(STALE), Group::PubSub, help)
                .sub_of("pubsub")
                .doc("6.2.0", "Returns helpful text about the different subcommands."),
        ])
        .doc("2.8.0", "A container for Pub/Sub commands."),
];

/// A name that is meant as it is, or one with wildcards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Channel,
    Pattern,
}

/// PUBLISH channel message
fn publish(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (channel, message) = (args.bytes()?, args.bytes()?);
    if cx.origin == Origin::Log {
        return Ok(());
    }
    let heard = cx.server.publish(channel, message);
    cx.feed_plain(&[b"PUBLISH", channel, message]);
    cx.reply().int(heard as i64);
    Ok(())
}

/// SUBSCRIBE channel [channel ...], PSUBSCRIBE pattern [pattern ...]: one reply for each.
fn listen(cx: &mut Cx<'_>, args: &mut Args<'_>, sort: Sort) -> Outcome {
    let slot = cx.slot;
    while let Some(name) = args.maybe() {
        match sort {
            Sort::Channel => {
                cx.server.pubsub.subscribe(name, slot);
                cx.client().channels.insert(name.to_vec());
            }
            Sort::Pattern => {
                cx.server.pubsub.psubscribe(name, slot);
                cx.client().patterns.insert(name.to_vec());
            }
        }
        let word: &[u8] = if sort == Sort::Channel { b"subscribe" } else { b"psubscribe" };
        confirm(cx, word, Some(name));
    }
    Ok(())
}

/// UNSUBSCRIBE [channel ...], PUNSUBSCRIBE [pattern ...]: one reply for each, and one if there was nothing to stop.
fn stop(cx: &mut Cx<'_>, args: &mut Args<'_>, sort: Sort) -> Outcome {
    let word: &[u8] = if sort == Sort::Channel { b"unsubscribe" } else { b"punsubscribe" };
    if args.left() > 0 {
        while let Some(name) = args.maybe() {
            forget(cx, name, sort);
            confirm(cx, word, Some(name));
        }
        return Ok(());
    }
    let client = cx.client();
    let names = if sort == Sort::Channel { &client.channels } else { &client.patterns };
    let names: Vec<Vec<u8>> = names.iter().cloned().collect();
    for name in &names {
        forget(cx, name, sort);
        confirm(cx, word, Some(name));
    }
    if names.is_empty() {
        confirm(cx, word, None);
    }
    Ok(())
}

fn forget(cx: &mut Cx<'_>, name: &[u8], sort: Sort) {
    let slot = cx.slot;
    match sort {
        Sort::Channel => {
            cx.server.pubsub.unsubscribe(name, slot);
            cx.client().channels.remove(name);
        }
        Sort::Pattern => {
            cx.server.pubsub.punsubscribe(name, slot);
            cx.client().patterns.remove(name);
        }
    }
}

/// Says what was done, and how many channels and patterns the client listens to now.
fn confirm(cx: &mut Cx<'_>, word: &[u8], name: Option<&[u8]>) {
    let count = cx.client().subscriptions() as i64;
    let mut reply = cx.reply();
    reply.push(3);
    reply.bulk(word);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.int(count);
}

/// PUBSUB CHANNELS \[pattern\]
fn channels(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let pattern = args.maybe();
    args.finish()?;
    let names = cx.server.pubsub.channels.keys();
    let names: Vec<&Vec<u8>> = names.filter(|name| pattern.is_none_or(|p| glob::matches(p, name, false))).collect();
    crate::resp::Writer::new(&mut cx.out, cx.proto).bulks(&names);
    Ok(())
}

/// PUBSUB NUMSUB [channel ...]
fn numsub(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply().array(args.left() * 2);
    while let Some(name) = args.maybe() {
        let count = cx.server.pubsub.channels.get(name).map_or(0, |slots| slots.len());
        cx.reply().bulk(name);
        cx.reply().int(count as i64);
    }
    Ok(())
}

/// PUBSUB NUMPAT
fn numpat(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    let count = cx.server.pubsub.patterns.len();
    cx.reply().int(count as i64);
    Ok(())
}

/// PUBSUB HELP
fn help(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    super::help::help(
        cx,
        &[
            "CHANNELS [<pattern>]",
            "    Return the currently active channels matching a <pattern> (default: '*').",
            "NUMPAT",
            "    Return number of subscriptions to patterns.",
            "NUMSUB [<channel> ...]",
            "    Return the number of subscribers for the specified channels, excluding",
            "    pattern subscriptions(default: no channels).",
        ],
    )
}
