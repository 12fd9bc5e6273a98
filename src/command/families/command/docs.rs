//! COMMAND DOCS.

use super::words;
use crate::command::docs::{self, grammar};
use crate::command::spec::Spec;
use crate::command::{Args, Cx, Outcome};
use crate::resp::Writer;
use grammar::{Argument, Kind};

/// COMMAND DOCS \[name ...\]: the unknown are left out.
pub fn docs(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut found: Vec<&'static Spec> = Vec::new();
    if args.left() == 0 {
        found.extend(cx.server.names.all());
    }
    while let Some(name) = args.maybe() {
        found.extend(cx.server.names.full(name));
    }
    let mut reply = cx.reply();
    reply.map(found.len());
    found.into_iter().for_each(|spec| document(&mut reply, spec));
    Ok(())
}

/// A map whose size is known when it is written: pairs of a name and what writes the value.
struct Map<'r, 'o> {
    reply: &'r mut Writer<'o>,
}

impl Map<'_, '_> {
    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.reply.bulk(name.as_bytes());
            self.reply.bulk(value.as_bytes());
        }
    }

    fn flags(&mut self, name: &str, flags: &[&str]) {
        if !flags.is_empty() {
            self.reply.bulk(name.as_bytes());
            words(self.reply, flags.iter().copied());
        }
    }
}

/// The names among these pairs that are said.
fn chosen<'f>(flags: &[(bool, &'f str)]) -> Vec<&'f str> {
    flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect()
}

fn document(reply: &mut Writer<'_>, spec: &Spec) {
    let docs = docs::of(spec);
    let flags = chosen(&[(docs.deprecated.is_some(), "deprecated"), (docs.is_for_servers, "syscmd")]);
    let (since, instead) = docs.deprecated.unzip();
    let instead = instead.filter(|instead| !instead.is_empty());
    let optional = [
        docs.cost.is_some(),
        !flags.is_empty(),
        since.is_some(),
        instead.is_some(),
        !docs.history.is_empty(),
        !docs.arguments.is_empty(),
        !spec.subs.is_empty(),
    ];
    reply.bulk(spec.full_name().as_bytes());
    reply.map(3 + optional.into_iter().filter(|is_there| *is_there).count());
    let mut map = Map { reply };
    map.text("summary", Some(spec.summary.trim_end_matches('.')));
    map.text("since", Some(spec.since));
    map.text("group", Some(spec.group.name()));
    map.text("complexity", docs.cost);
    map.flags("doc_flags", &flags);
    map.text("deprecated_since", since);
    map.text("replaced_by", instead);
    if !docs.history.is_empty() {
        reply.bulk(b"history");
        reply.set(docs.history.len());
        docs.history.iter().for_each(|(version, change)| reply.bulks(&[version, change]));
    }
    if !docs.arguments.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, &docs.arguments);
    }
    if !spec.subs.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subs.len());
        spec.subs.iter().for_each(|sub| document(reply, sub));
    }
}

/// As deep as the docs files nest them.
fn arguments(reply: &mut Writer<'_>, all: &[Argument]) {
    reply.array(all.len());
    for argument in all {
        let flags = chosen(&[
            (argument.is_optional, "optional"),
            (argument.is_multiple, "multiple"),
            (argument.repeats_token, "multiple_token"),
        ]);
        let optional = [
            argument.key_spec.is_some(),
            argument.token.is_some(),
            argument.since.is_some(),
            argument.deprecated.is_some(),
            !flags.is_empty(),
        ];
        let nests = matches!(argument.kind, Kind::OneOf | Kind::Block);
        // The third is `arguments` of those that nest, `display_text` of the others.
        reply.map(3 + optional.into_iter().filter(|is_there| *is_there).count());
        let mut map = Map { reply };
        map.text("name", Some(argument.name));
        map.text("type", Some(argument.kind.name()));
        if !nests {
            map.text("display_text", Some(argument.shown.unwrap_or(argument.name)));
        }
        if let Some(index) = argument.key_spec {
            map.reply.bulk(b"key_spec_index");
            map.reply.int(index as i64);
        }
        map.text("token", argument.token);
        map.text("since", argument.since);
        map.text("deprecated_since", argument.deprecated);
        map.flags("flags", &flags);
        if nests {
            reply.bulk(b"arguments");
            arguments(reply, &argument.arguments);
        }
    }
}
