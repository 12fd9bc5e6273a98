//! PUBLISH, SPUBLISH, (P|S)SUBSCRIBE, (P|S)UNSUBSCRIBE, PUBSUB. Who listens to what is kept in `command::pubsub`.

use crate::base::glob;
use crate::command::spec::{
    FAST, Flags, Group, KeySpec, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, Spec, key, keys_from, spec,
};
use crate::command::{Args, Cx, Origin, Outcome, Refusal, Replies, Sort};

const LISTENS: Flags = PUBSUB.or(NOSCRIPT).or(LOADING).or(STALE);
const TELLS: Flags = PUBSUB.or(LOADING).or(STALE);

/// Where a cluster finds the slot: the name of a channel is no key.
const SHARD: &[KeySpec] = &[key(1, &["not_key"])];
const SHARDS: &[KeySpec] = &[keys_from(1, 1, &["not_key"])];

pub const ROWS: &[Spec] = &[
    spec("publish", 3, TELLS.or(FAST).or(MAY_REPLICATE), Group::PubSub, publish)
        .doc("2.0.0", "Posts a message to a channel."),
    spec("spublish", 3, TELLS.or(FAST).or(MAY_REPLICATE), Group::PubSub, spublish)
        .keys(SHARD)
        .doc("7.0.0", "Posts a message to a shard channel."),
    spec("subscribe", -2, LISTENS, Group::PubSub, |cx, args| listen(cx, args, Sort::Channel))
        .doc("2.0.0", "Listens for messages published to channels."),
    spec("psubscribe", -2, LISTENS, Group::PubSub, |cx, args| listen(cx, args, Sort::Pattern))
        .doc("2.0.0", "Listens for messages published to channels that match one or more patterns."),
    spec("ssubscribe", -2, LISTENS, Group::PubSub, |cx, args| listen(cx, args, Sort::Shard))
        .keys(SHARDS)
        .doc("7.0.0", "Listens for messages published to shard channels."),
    spec("unsubscribe", -1, LISTENS, Group::PubSub, |cx, args| stop(cx, args, Sort::Channel))
        .doc("2.0.0", "Stops listening to messages posted to channels."),
    spec("punsubscribe", -1, LISTENS, Group::PubSub, |cx, args| stop(cx, args, Sort::Pattern))
        .doc("2.0.0", "Stops listening to messages published to channels that match one or more patterns."),
    spec("sunsubscribe", -1, LISTENS, Group::PubSub, |cx, args| stop(cx, args, Sort::Shard))
        .keys(SHARDS)
        .doc("7.0.0", "Stops listening to messages posted to shard channels."),
    spec("pubsub", -2, crate::command::spec::NONE, Group::PubSub, |_, _| Ok(()))
        .with(&[
            spec("channels", -2, TELLS, Group::PubSub, |cx, args| channels(cx, args, Sort::Channel))
                .sub_of("pubsub")
                .doc("2.8.0", "Returns the active channels."),
            spec("numsub", -2, TELLS, Group::PubSub, |cx, args| numsub(cx, args, Sort::Channel))
                .sub_of("pubsub")
                .doc("2.8.0", "Returns a count of subscribers to channels."),
            spec("numpat", 2, TELLS, Group::PubSub, numpat)
                .sub_of("pubsub")
                .doc("2.8.0", "Returns a count of unique pattern subscriptions."),
            spec("shardchannels", -2, TELLS, Group::PubSub, |cx, args| channels(cx, args, Sort::Shard))
                .sub_of("pubsub")
                .doc("7.0.0", "Returns the active shard channels."),
            spec("shardnumsub", -2, TELLS, Group::PubSub, |cx, args| numsub(cx, args, Sort::Shard))
                .sub_of("pubsub")
                .doc("7.0.0", "Returns the count of subscribers of shard channels."),
            spec("help", 2, LOADING.or(STALE), Group::PubSub, help)
                .sub_of("pubsub")
                .doc("6.2.0", "Returns helpful text about the different subcommands."),
        ])
        .doc("2.8.0", "A container for Pub/Sub commands."),
];

/// PUBLISH channel message
fn publish(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (channel, message) = (args.bytes()?, args.bytes()?);
    if cx.origin == Origin::Log {
        return Ok(());
    }
    let heard = cx.server.publish(channel, message);
    cx.feed_message(&[b"PUBLISH", channel, message]);
    cx.reply().int(heard as i64);
    Ok(())
}

/// SPUBLISH shardchannel message
fn spublish(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (channel, message) = (args.bytes()?, args.bytes()?);
    if cx.origin == Origin::Log {
        return Ok(());
    }
    let heard = cx.server.publish_to_shard(channel, message);
    cx.feed_message(&[b"SPUBLISH", channel, message]);
    cx.reply().int(heard as i64);
    Ok(())
}

/// SUBSCRIBE channel [channel ...], PSUBSCRIBE pattern [pattern ...], SSUBSCRIBE shardchannel [shardchannel ...]: one
/// reply for each.
fn listen(cx: &mut Cx<'_>, args: &mut Args<'_>, sort: Sort) -> Outcome {
    let slot = cx.slot;
    if sort == Sort::Shard && !cx.may_block() {
        return Err(Refusal::err("SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    while let Some(name) = args.maybe() {
        cx.server.subscribe(slot, sort, name);
        confirm(cx, sort, true, Some(name));
    }
    Ok(())
}

/// UNSUBSCRIBE [channel ...], PUNSUBSCRIBE [pattern ...], SUNSUBSCRIBE [shardchannel ...]: one reply for each, and one if
/// there was nothing to stop.
fn stop(cx: &mut Cx<'_>, args: &mut Args<'_>, sort: Sort) -> Outcome {
    let slot = cx.slot;
    if args.left() > 0 {
        while let Some(name) = args.maybe() {
            cx.server.unsubscribe(slot, sort, name);
            confirm(cx, sort, false, Some(name));
        }
        return Ok(());
    }
    let names: Vec<Vec<u8>> = cx.client().listening(sort).iter().cloned().collect();
    for name in &names {
        cx.server.unsubscribe(slot, sort, name);
        confirm(cx, sort, false, Some(name));
    }
    if names.is_empty() {
        confirm(cx, sort, false, None);
    }
    Ok(())
}

/// Says what was done, and how many names the client listens to now: shard channels count by themselves. It is said as
/// a push, which CLIENT REPLY does not silence.
fn confirm(cx: &mut Cx<'_>, sort: Sort, on: bool, name: Option<&[u8]>) {
    let client = cx.client();
    let count = match sort {
        Sort::Channel | Sort::Pattern => client.channels.len() + client.patterns.len(),
        Sort::Shard => client.shards.len(),
    };
    let word: &[u8] = match (sort, on) {
        (Sort::Channel, true) => b"subscribe",
        (Sort::Channel, false) => b"unsubscribe",
        (Sort::Pattern, true) => b"psubscribe",
        (Sort::Pattern, false) => b"punsubscribe",
        (Sort::Shard, true) => b"ssubscribe",
        (Sort::Shard, false) => b"sunsubscribe",
    };
    let tell = |reply: &mut crate::resp::Writer<'_>| {
        reply.push(3);
        reply.bulk(word);
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.int(count as i64);
    };
    match client.replies {
        Replies::On => tell(&mut cx.reply()),
        _ => {
            let slot = cx.slot;
            cx.server.push(slot, tell);
        }
    }
}

/// PUBSUB CHANNELS \[pattern\], PUBSUB SHARDCHANNELS \[pattern\]
fn channels(cx: &mut Cx<'_>, args: &mut Args<'_>, sort: Sort) -> Outcome {
    let pattern = args.maybe();
    args.finish().map_err(|_| {
        let word = String::from_utf8_lossy(args.at(1));
        Refusal::err(format_args!("unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."))
    })?;
    let names = cx.server.pubsub.names(sort).keys();
    let names: Vec<&Vec<u8>> = names.filter(|name| pattern.is_none_or(|p| glob::matches(p, name, false))).collect();
    crate::resp::Writer::new(&mut cx.out, cx.proto).bulks(&names);
    Ok(())
}

/// PUBSUB NUMSUB [channel ...], PUBSUB SHARDNUMSUB [shardchannel ...]
fn numsub(cx: &mut Cx<'_>, args: &mut Args<'_>, sort: Sort) -> Outcome {
    cx.reply().array(args.left() * 2);
    while let Some(name) = args.maybe() {
        let count = cx.server.pubsub.names(sort).get(name).map_or(0, |slots| slots.len());
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
            "SHARDCHANNELS [<pattern>]",
            "    Return the currently active shard level channels matching a <pattern> (default: '*').",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Return the number of subscribers for the specified shard level channel(s)",
        ],
    )
}
