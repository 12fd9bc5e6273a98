//! COMMAND GETKEYS and GETKEYSANDFLAGS: which words of a request are keys.

use super::words;
use crate::command::keys_in::{keys_in, requested};
use crate::command::spec::{Group, KeySpec};
use crate::command::{Args, Cx, Outcome, Refusal};

/// A key, and what the command does with it.
type Used<'a> = (&'a [u8], &'static [&'static str]);

/// COMMAND GETKEYS command \[argument ...\]
pub fn getkeys(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let keys: Vec<&[u8]> = keys_of(cx, args)?.into_iter().map(|(key, _)| key).collect();
    cx.reply().bulks(&keys);
    Ok(())
}

/// COMMAND GETKEYSANDFLAGS command \[argument ...\]
pub fn getkeysandflags(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let keys = keys_of(cx, args)?;
    let mut reply = cx.reply();
    reply.array(keys.len());
    for (key, flags) in keys {
        reply.array(2);
        reply.bulk(key);
        words(&mut reply, flags.iter().copied());
    }
    Ok(())
}

/// The keys of the request that stands behind the first two words.
fn keys_of<'a>(cx: &Cx<'_>, args: &Args<'a>) -> Result<Vec<Used<'a>>, Refusal> {
    const BEFORE: usize = 2;
    let request = args.from(BEFORE);
    let spec = requested(&cx.server.names, &request).ok_or_else(|| Refusal::err("Invalid command specified"))?;
    if !spec.keys.iter().any(KeySpec::is_key) {
        return Err(Refusal::err("The command has no key arguments"));
    }
    if !spec.fits(request.len()) {
        return Err(Refusal::err("Invalid number of arguments specified for command"));
    }
    let keys = keys_in(spec, request.len(), &|index| request.at(index));
    // Scripts alone need no key.
    if keys.is_empty() && spec.group != Group::Scripting {
        return Err(Refusal::err("Invalid arguments specified for command"));
    }
    Ok(keys.into_iter().map(|key| (request.at(key.index), key.flags)).collect())
}
