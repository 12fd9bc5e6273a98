//! COMMAND: the table of commands, told to clients. Everything here is a loop over the table; [`docs`] tells what the
//! docs files say, [`keys`] finds the keys of a request.

mod docs;
mod keys;

use super::help::help;
use crate::base::glob;
use crate::command::spec::{Categories, Flags, Group, KeySpec, LOADING, Place, STALE, Spec, spec};
use crate::command::{self, Args, Cx, Outcome, Refusal};
use crate::resp::Writer;

const ANY: Flags = LOADING.or(STALE);

pub const ROWS: &[Spec] = &[spec("command", -1, ANY, Group::Server, all)
    .acl(Categories::CONNECTION)
    .doc("2.8.13", "Returns detailed information about all commands.")
    .with(SUBS)];

const fn sub(name: &'static str, arity: i16, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, ANY, Group::Server, run).sub_of("command").acl(Categories::CONNECTION)
}

const SUBS: &[Spec] = &[
    sub("count", 2, count).doc("2.8.13", "Returns a count of commands."),
    sub("docs", -2, docs::docs).doc("7.0.0", "Returns documentary information about one, multiple or all commands."),
    sub("getkeys", -3, keys::getkeys).doc("2.8.13", "Extracts the key names from an arbitrary command."),
    sub("getkeysandflags", -3, keys::getkeysandflags)
        .doc("7.0.0", "Extracts the key names and access flags for an arbitrary command."),
    sub("help", 2, |cx, _| help(cx, HELP)).doc("5.0.0", "Returns helpful text about the different subcommands."),
    sub("info", -2, info).doc("2.8.13", "Returns information about one, multiple or all commands."),
    sub("list", -2, list).doc("7.0.0", "Returns a list of command names."),
];

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
];

/// COMMAND
fn all(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let all = cx.server.names.all();
    let mut reply = cx.reply();
    reply.array(all.len());
    all.into_iter().for_each(|spec| describe(&mut reply, spec));
    Ok(())
}

/// COMMAND COUNT
fn count(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let count = cx.server.names.all().len();
    cx.reply().int(count as i64);
    Ok(())
}

/// COMMAND INFO \[name ...\]
fn info(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() == 0 {
        return all(cx, args);
    }
    let names = &cx.server.names;
    let mut reply = Writer::new(&mut cx.out, cx.proto);
    reply.array(args.left());
    while let Some(name) = args.maybe() {
        match names.full(name) {
            Some(spec) => describe(&mut reply, spec),
            None => reply.null_array(),
        }
    }
    Ok(())
}

/// The ten elements of one command.
fn describe(reply: &mut Writer<'_>, spec: &Spec) {
    let (first, last, step) = legacy_range(spec.keys);
    reply.array(10);
    reply.bulk(spec.full_name().as_bytes());
    reply.int(i64::from(spec.arity));
    words(reply, spec.flags.names());
    reply.int(first);
    reply.int(last);
    reply.int(step);
    let categories: Vec<String> = spec.all_categories().names().map(|name| format!("@{name}")).collect();
    words(reply, categories.iter().map(String::as_str));
    let tips = &command::docs::of(spec).tips;
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|keys| describe_keys(reply, keys));
    reply.set(spec.subs.len());
    spec.subs.iter().for_each(|sub| describe(reply, sub));
}

/// First key, last key and step as COMMAND gave them before there were key specifications.
fn legacy_range(keys: &[KeySpec]) -> (i64, i64, i64) {
    let ranges = || {
        keys.iter().filter_map(|keys| match keys.place {
            Place::Range { first, last, step } => Some((first as i64, last as i64, step as i64)),
            _ => None,
        })
    };
    let Some((first, _, step)) = ranges().next() else { return (0, 0, 0) };
    let last = ranges().map(|(first, last, _)| if last < 0 { last } else { first + last });
    let last = last.reduce(|a, b| if a < 0 || b < 0 { a.min(b) } else { a.max(b) }).unwrap_or(first);
    (first, last, step)
}

fn describe_keys(reply: &mut Writer<'_>, keys: &KeySpec) {
    let head = |reply: &mut Writer<'_>, name: &[u8], kind: &[u8], facts: usize| {
        reply.bulk(name);
        reply.map(2);
        reply.bulk(b"type");
        reply.bulk(kind);
        reply.bulk(b"spec");
        reply.map(facts);
    };
    let part = |reply: &mut Writer<'_>, name: &[u8], kind: &[u8], numbers: &[(&[u8], i64)]| {
        head(reply, name, kind, numbers.len());
        for &(name, number) in numbers {
            reply.bulk(name);
            reply.int(number);
        }
    };
    let keyword = |reply: &mut Writer<'_>, word: &str, from: i64| {
        head(reply, b"begin_search", b"keyword", 2);
        reply.bulk(b"keyword");
        reply.bulk(word.as_bytes());
        reply.bulk(b"startfrom");
        reply.int(from);
    };
    reply.map(3);
    reply.bulk(b"flags");
    words(reply, keys.flags.iter().copied());
    match keys.place {
        Place::Range { first, last, step } => {
            part(reply, b"begin_search", b"index", &[(b"index", first as i64)]);
            let numbers: &[(&[u8], i64)] = &[(b"lastkey", last as i64), (b"keystep", step as i64), (b"limit", 0)];
            part(reply, b"find_keys", b"range", numbers);
        }
        Place::Counted(at) => {
            part(reply, b"begin_search", b"index", &[(b"index", at as i64)]);
            part(reply, b"find_keys", b"keynum", &[(b"keynumidx", 0), (b"firstkey", 1), (b"keystep", 1)]);
        }
        Place::LastWord { word, before_end } => {
            keyword(reply, word, -(before_end as i64));
            part(reply, b"find_keys", b"range", &[(b"lastkey", -1), (b"keystep", 1), (b"limit", 0)]);
        }
        Place::Word { word, from, part: limit } => {
            keyword(reply, word, from as i64);
            let numbers: &[(&[u8], i64)] = &[(b"lastkey", -1), (b"keystep", 1), (b"limit", limit as i64)];
            part(reply, b"find_keys", b"range", numbers);
        }
        Place::Behind { option, from: from @ 1.. } => {
            keyword(reply, option, from as i64);
            part(reply, b"find_keys", b"range", &[(b"lastkey", 0), (b"keystep", 1), (b"limit", 0)]);
        }
        Place::Behind { .. } | Place::Made => {
            part(reply, b"begin_search", b"unknown", &[]);
            part(reply, b"find_keys", b"unknown", &[]);
        }
    }
}

/// A set of simple strings.
fn words<'w>(reply: &mut Writer<'_>, words: impl Iterator<Item = &'w str>) {
    let words: Vec<&str> = words.collect();
    reply.set(words.len());
    words.into_iter().for_each(|word| reply.simple(word));
}

/// All rows, those of subcommands behind their container's.
fn with_subs(cx: &Cx<'_>) -> impl Iterator<Item = &'static Spec> + use<> {
    cx.server.names.all().into_iter().flat_map(|spec| std::iter::once(spec).chain(spec.subs))
}

/// COMMAND LIST \[FILTERBY MODULE name | ACLCAT category | PATTERN pattern\]
fn list(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let names: Vec<String> = if args.left() == 0 {
        with_subs(cx).map(Spec::full_name).collect()
    } else {
        if args.left() != 3 || !args.take("FILTERBY") {
            return Err(Refusal::Syntax);
        }
        let (kind, wanted) = (args.bytes()?.to_ascii_lowercase(), args.bytes()?);
        let fits = |spec: &&Spec| match kind.as_slice() {
            b"aclcat" => spec.all_categories().names().any(|name| name.as_bytes().eq_ignore_ascii_case(wanted)),
            b"pattern" => glob::matches(wanted, spec.full_name().as_bytes(), true),
            _ => false, // of a module: there are none
        };
        if !matches!(kind.as_slice(), b"aclcat" | b"pattern" | b"module") {
            return Err(Refusal::Syntax);
        }
        with_subs(cx).filter(fits).map(Spec::full_name).collect()
    };
    cx.reply().bulks(&names);
    Ok(())
}
