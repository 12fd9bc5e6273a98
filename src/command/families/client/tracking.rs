//! CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR: caches at the client. How they are told is in `command::tracking`.

use crate::command::{Args, Cx, Mode, Outcome, Refusal, Tracking, Who};
use std::collections::BTreeSet;

/// The options of CLIENT TRACKING.
#[derive(Default)]
struct Options<'a> {
    redirect: Option<Who>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    noloop: bool,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(cx: &Cx<'_>, args: &mut Args<'a>) -> Result<Self, Refusal> {
        let mut options = Options::default();
        while args.left() > 0 {
            if args.left() > 1 && args.take("redirect") {
                if options.redirect.is_some() {
                    return Err(Refusal::err("A client can only redirect to a single other client"));
                }
                let id = args.int()?;
                let found = cx.server.clients.iter().find(|(_, client)| client.id as i64 == id);
                let who = found.map(|(slot, client)| Who { slot, id: client.id });
                options.redirect =
                    Some(who.ok_or_else(|| Refusal::err("The client ID you want redirect to does not exist"))?);
            } else if args.left() > 1 && args.take("prefix") {
                options.prefixes.push(args.bytes()?);
            } else {
                let option = match () {
                    () if args.take("bcast") => &mut options.broadcast,
                    () if args.take("optin") => &mut options.opt_in,
                    () if args.take("optout") => &mut options.opt_out,
                    () if args.take("noloop") => &mut options.noloop,
                    () => return Err(Refusal::Syntax),
                };
                *option = true;
            }
        }
        Ok(options)
    }

    /// Options fit each other and what the client has asked for before.
    fn check(&self, held: Option<&Tracking>) -> Outcome {
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(Refusal::err("PREFIX option requires BCAST mode to be enabled"));
        }
        if held.is_some_and(|held| matches!(held.mode, Mode::Broadcast(_)) != self.broadcast) {
            return Err(Refusal::err(
                "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
                 with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Refusal::err("OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(Refusal::err("You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let switches = match held.map(|held| &held.mode) {
            Some(Mode::OptIn { .. }) => self.opt_out,
            Some(Mode::OptOut { .. }) => self.opt_in,
            _ => false,
        };
        if switches {
            return Err(Refusal::err(
                "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it \
                 with a different mode.",
            ));
        }
        Ok(())
    }

    fn mode(&self, held: Option<&Tracking>) -> Result<Mode, Refusal> {
        let nothing = BTreeSet::new();
        let (before, said) = match held.map(|held| &held.mode) {
            Some(Mode::Broadcast(prefixes)) => (prefixes, false),
            Some(Mode::OptIn { caching: said } | Mode::OptOut { skipping: said }) => (&nothing, *said),
            _ => (&nothing, false),
        };
        Ok(match () {
            () if self.broadcast => Mode::Broadcast(self.all_prefixes(before)?),
            () if self.opt_in => Mode::OptIn { caching: said },
            () if self.opt_out => Mode::OptOut { skipping: said },
            () => Mode::Read,
        })
    }

    /// No prefix of a client is the beginning of another one: it would be told twice.
    fn all_prefixes(&self, before: &BTreeSet<Vec<u8>>) -> Result<BTreeSet<Vec<u8>>, Refusal> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let refusal = |prefix: &[u8], which: &str, other: &[u8]| {
            let [prefix, other] = [prefix, other].map(String::from_utf8_lossy);
            Refusal::err(format_args!(
                "Prefix '{prefix}' overlaps with {which} prefix '{other}'. Prefixes for a single client must not overlap."
            ))
        };
        let mut all = before.clone();
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = before.iter().find(|other| overlap(other, prefix)) {
                return Err(refusal(prefix, "an existing", other));
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(other, prefix)) {
                return Err(refusal(prefix, "another provided", other));
            }
            all.insert(prefix.to_vec());
        }
        if self.prefixes.is_empty() {
            all.insert(Vec::new());
        }
        Ok(all)
    }
}

/// CLIENT TRACKING ON | OFF \[REDIRECT id\] \[PREFIX prefix \[PREFIX prefix ...\]\] \[BCAST\] \[OPTIN\] \[OPTOUT\] \[NOLOOP\]
pub fn tracking(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let word = args.bytes()?;
    let options = Options::read(cx, args)?;
    let slot = cx.slot;
    if word.eq_ignore_ascii_case(b"on") {
        let held = cx.client().tracking.as_deref();
        options.check(held)?;
        let mode = options.mode(held)?;
        let tracking = Tracking { mode, redirect: options.redirect, broken: false, noloop: options.noloop };
        cx.server.track(slot, tracking);
    } else if word.eq_ignore_ascii_case(b"off") {
        cx.server.untrack(slot);
    } else {
        return Err(Refusal::Syntax);
    }
    cx.reply().ok();
    Ok(())
}

/// CLIENT CACHING YES | NO
pub fn caching(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let Some(tracking) = &mut cx.client().tracking else {
        return Err(Refusal::err(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    match (args.take("yes"), args.take("no"), &mut tracking.mode) {
        (true, _, Mode::OptIn { caching }) => *caching = true,
        (_, true, Mode::OptOut { skipping }) => *skipping = true,
        (true, ..) => {
            return Err(Refusal::err("CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."));
        }
        (_, true, _) => {
            return Err(Refusal::err("CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."));
        }
        _ => return Err(Refusal::Syntax),
    }
    cx.reply().ok();
    Ok(())
}

/// CLIENT GETREDIR: -1 where nothing is tracked.
pub fn getredir(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let id = cx.client().tracking.as_ref().map_or(-1, |tracking| tracking.redirect_id());
    cx.reply().int(id);
    Ok(())
}

/// CLIENT TRACKINGINFO
pub fn trackinginfo(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let mut out = std::mem::take(&mut cx.out);
    let mut reply = crate::resp::Writer::new(&mut out, cx.proto);
    let tracking = cx.client().tracking.as_deref();
    let mut flags = vec![if tracking.is_some() { "on" } else { "off" }];
    let mut told: Vec<&Vec<u8>> = Vec::new();
    if let Some(tracking) = tracking {
        match &tracking.mode {
            Mode::Read => {}
            Mode::OptIn { caching } => flags.extend(["optin", "caching-yes"].iter().take(1 + usize::from(*caching))),
            Mode::OptOut { skipping } => {
                flags.extend(["optout", "caching-no"].iter().take(1 + usize::from(*skipping)));
            }
            Mode::Broadcast(prefixes) => {
                flags.push("bcast");
                told.extend(prefixes);
            }
        }
        flags.extend(tracking.noloop.then_some("noloop"));
        flags.extend(tracking.broken.then_some("broken_redirect"));
    }
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(tracking.map_or(-1, Tracking::redirect_id));
    reply.bulk(b"prefixes");
    reply.bulks(&told);
    cx.out = out;
    Ok(())
}
