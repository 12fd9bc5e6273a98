//! ACL: the users of this node, what they may do, and what was denied to them. The rules are `command::acl`'s.

use super::help::help;
use crate::base::number;
use crate::command::acl::{Selector, has_blanks};
use crate::command::keys_in::requested;
use crate::command::spec::{ADMIN, Categories, Flags, Group, LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal, table};
use crate::resp::Writer;
use sha2::{Digest, Sha256};

const ANY: Flags = NOSCRIPT.or(LOADING).or(STALE);
const OPERATOR: Flags = ADMIN.or(ANY);

pub const ROWS: &[Spec] = &[spec("acl", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
    .doc("6.0.0", "A container for Access List Control commands.")
    .with(SUBS)];

const fn sub(name: &'static str, arity: i16, flags: Flags, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, flags, Group::Server, run).sub_of("acl")
}

const SUBS: &[Spec] = &[
    sub("cat", -2, ANY, cat).doc("6.0.0", "Lists the ACL categories, or the commands inside a category."),
    sub("deluser", -3, OPERATOR, deluser).doc("6.0.0", "Deletes ACL users, and terminates their connections."),
    sub("dryrun", -4, OPERATOR, dryrun)
        .doc("7.0.0", "Simulates the execution of a command by a user, without executing the command."),
    sub("genpass", -2, ANY, genpass)
        .doc("6.0.0", "Generates a pseudorandom, secure password that can be used to identify ACL users."),
    sub("getuser", 3, OPERATOR, getuser).doc("6.0.0", "Lists the ACL rules of a user."),
    sub("help", 2, LOADING.or(STALE), |cx, _| help(cx, HELP))
        .doc("6.0.0", "Returns helpful text about the different subcommands."),
    sub("list", 2, OPERATOR, list).doc("6.0.0", "Dumps the effective rules in ACL file format."),
    sub("load", 2, OPERATOR, load).doc("6.0.0", "Reloads the rules from the configured ACL file."),
    sub("log", -2, OPERATOR, log).doc("6.0.0", "Lists recent security events generated due to ACL rules."),
    sub("save", 2, OPERATOR, save).doc("6.0.0", "Saves the effective ACL rules in the configured ACL file."),
    sub("setuser", -3, OPERATOR, setuser).doc("6.0.0", "Creates and modifies an ACL user and its rules."),
    sub("users", 2, OPERATOR, users).doc("6.0.0", "Lists all ACL users."),
    sub("whoami", 2, ANY, whoami).doc("6.0.0", "Returns the authenticated username of the current connection."),
];

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Reload users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Save the current config to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create or modify a user with the specified attributes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
];

/// More words than a subcommand takes.
fn finish(args: &Args<'_>) -> Outcome {
    let sub = String::from_utf8_lossy(args.at(1));
    args.finish().map_err(|_| {
        Refusal::err(format_args!("unknown subcommand or wrong number of arguments for '{sub}'. Try ACL HELP."))
    })
}

/// ACL CAT \[category\]
fn cat(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.maybe();
    finish(args)?;
    let Some(name) = name else {
        let names: Vec<&str> = Categories::ALL.names().collect();
        cx.reply().bulks(&names);
        return Ok(());
    };
    let category = Categories::named(name).ok_or_else(|| {
        Refusal::err(format_args!("Unknown category '{}'", String::from_utf8_lossy(&name[..name.len().min(128)])))
    })?;
    let fitting = table::with_subs().filter(|spec| spec.all_categories().has(category));
    let names: Vec<String> = fitting.map(Spec::full_name).collect();
    cx.reply().bulks(&names);
    Ok(())
}

/// ACL SETUSER name \[rule ...\]
fn setuser(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.bytes()?;
    if has_blanks(name) {
        return Err(Refusal::err("Usernames can't contain spaces or null characters"));
    }
    let rules: Vec<&[u8]> = args.all().skip(3).collect();
    cx.server.set_user(name, &rules, cx.slot).map_err(Refusal::err)?;
    cx.reply().ok();
    Ok(())
}

/// ACL DELUSER name \[name ...\]
fn deluser(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.all().skip(2).any(|name| name == b"default") {
        return Err(Refusal::err("The 'default' user cannot be removed"));
    }
    let deleted = args.all().skip(2).filter(|name| cx.server.delete_user(name, cx.slot)).count();
    cx.reply().int(deleted as i64);
    Ok(())
}

/// ACL GETUSER name
fn getuser(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let Some(id) = cx.server.acl.find(args.bytes()?) else {
        cx.reply().null();
        return Ok(());
    };
    let user = cx.server.acl.user(id);
    let mut reply = Writer::new(&mut cx.out, cx.proto);
    reply.map(6);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    user.passwords().for_each(|password| reply.bulk(password.as_bytes()));
    describe(&mut reply, user.root());
    reply.bulk(b"selectors");
    reply.array(user.more().len());
    for selector in user.more() {
        reply.map(3);
        describe(&mut reply, selector);
    }
    Ok(())
}

/// The three fields of a selector.
fn describe(reply: &mut Writer<'_>, selector: &Selector) {
    reply.bulk(b"commands");
    reply.bulk(selector.command_rules().as_bytes());
    reply.bulk(b"keys");
    reply.bulk(&selector.key_rules());
    reply.bulk(b"channels");
    reply.bulk(&selector.channel_rules());
}

/// ACL LIST
fn list(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let lines: Vec<Vec<u8>> = cx.server.acl.users().map(|user| user.line()).collect();
    cx.reply().bulks(&lines);
    Ok(())
}

/// ACL USERS
fn users(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let names: Vec<&[u8]> = cx.server.acl.users().map(|user| user.name()).collect();
    Writer::new(&mut cx.out, cx.proto).bulks(&names);
    Ok(())
}

/// ACL WHOAMI
fn whoami(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let user = cx.server.acl.user(cx.server.clients[cx.slot].user);
    Writer::new(&mut cx.out, cx.proto).bulk(user.name());
    Ok(())
}

fn needs_file(cx: &Cx<'_>) -> Outcome {
    if cx.server.config.settings.aclfile.is_empty() {
        return Err(Refusal::err(
            "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
             command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to \
             store users in the Redis configuration.",
        ));
    }
    Ok(())
}

/// ACL LOAD: the users of the file in the place of those that are, or none of it.
fn load(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    needs_file(cx)?;
    cx.server.load_users(cx.slot).map_err(Refusal::err)?;
    cx.reply().ok();
    Ok(())
}

/// ACL SAVE
fn save(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    needs_file(cx)?;
    let text = cx.server.users_text();
    match cx.server.config.write_aclfile(&text) {
        Ok(()) => {
            cx.reply().ok();
            Ok(())
        }
        Err(error) => {
            tracing::warn!("ACL SAVE failed: {}", error.detail());
            Err(Refusal::err(
                "There was an error trying to save the ACLs. Please check the server logs for more information",
            ))
        }
    }
}

/// ACL GENPASS \[bits\]
fn genpass(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    const BITS_MAX: i64 = 4096;
    let bits = if args.left() > 0 { args.int()? } else { 256 };
    finish(args)?;
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(Refusal::err(format_args!(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number up to {BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut text = String::with_capacity(digits + 64);
    while text.len() < digits {
        cx.server.passwords_made += 1;
        let seed = cx.server.secret.into_iter().chain([cx.server.passwords_made]);
        let block = seed.fold(Sha256::new(), |hash, part| hash.chain_update(part.to_le_bytes())).finalize();
        block.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
    }
    cx.reply().bulk(&text.as_bytes()[..digits]);
    Ok(())
}

/// ACL LOG \[count | RESET\]
fn log(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    const SHOWN: i64 = 10;
    let word = args.maybe();
    finish(args)?;
    let count = match word {
        Some(word) if word.eq_ignore_ascii_case(b"reset") => {
            cx.server.acl.log.clear();
            cx.reply().ok();
            return Ok(());
        }
        Some(word) => number::parse_i64(word).ok_or(Refusal::NotInteger)?,
        None => SHOWN,
    };
    let entries = cx.server.acl.log.entries();
    let count = entries.len().min(count.max(0) as usize);
    let mut reply = Writer::new(&mut cx.out, cx.proto);
    reply.array(count);
    for entry in entries.take(count) {
        reply.map(10);
        reply.bulk(b"count");
        reply.int(entry.count as i64);
        reply.bulk(b"reason");
        reply.bulk(entry.reason.name().as_bytes());
        reply.bulk(b"context");
        reply.bulk(entry.context.name().as_bytes());
        reply.bulk(b"object");
        reply.bulk(&entry.object);
        reply.bulk(b"username");
        reply.bulk(&entry.username);
        reply.bulk(b"age-seconds");
        reply.double(cx.now.since(entry.updated).0 as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(entry.client.as_bytes());
        reply.bulk(b"entry-id");
        reply.int(entry.id as i64);
        reply.bulk(b"timestamp-created");
        reply.int(entry.created.0);
        reply.bulk(b"timestamp-last-updated");
        reply.int(entry.updated.0);
    }
    Ok(())
}

/// ACL DRYRUN name command \[argument ...\]
fn dryrun(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    const BEFORE: usize = 3;
    let name = args.bytes()?;
    let shown = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let found = cx.server.acl.find(name);
    let id = found.ok_or_else(|| Refusal::err(format_args!("User '{}' not found", shown(name))))?;
    let request = args.from(BEFORE);
    let spec = requested(&cx.server.names, &request);
    let spec = spec.ok_or_else(|| Refusal::err(format_args!("Command '{}' not found", shown(args.at(BEFORE)))))?;
    if !spec.fits(request.len()) {
        return Err(Refusal::Arity(spec.full_name()));
    }
    let user = cx.server.acl.user(id);
    match user.check(spec, &request) {
        Ok(()) => cx.reply().ok(),
        Err(denied) => {
            let text = denied.text_in_full(user, spec, request.at(denied.at));
            cx.reply().bulk(text.as_bytes());
        }
    }
    Ok(())
}
