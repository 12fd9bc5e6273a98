//! FAILOVER: the words; what they bring about stands in [`crate::command::Failover`].

use crate::base::{Millis, number};
use crate::command::spec::{ADMIN, Group, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Cx, Order, Outcome, Refusal};
use crate::config::Address;

pub const ROWS: &[Spec] = &[spec("failover", -1, ADMIN.or(NOSCRIPT).or(STALE), Group::Server, failover)
    .doc("6.2.0", "Starts a coordinated failover from a server to one of its replicas.")];

/// FAILOVER \[TO host port \[FORCE\]\] \[ABORT\] \[TIMEOUT milliseconds\]
fn failover(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() == 1 && args.take("ABORT") {
        if !cx.server.abort_failover("Failover manually aborted") {
            return Err(Refusal::err("No failover in progress."));
        }
        cx.reply().ok();
        return Ok(());
    }
    let mut order = Order::default();
    let mut named = None;
    while args.left() > 0 {
        if args.left() >= 2 && order.timeout.is_none() && args.take("TIMEOUT") {
            match args.int()? {
                ..=0 => return Err(Refusal::err("FAILOVER timeout must be greater than 0")),
                ms => order.timeout = Some(Millis(ms)),
            }
        } else if args.left() >= 3 && named.is_none() && args.take("TO") {
            let host = args.bytes()?;
            let port = number::parse_i64(args.bytes()?).ok_or(Refusal::NotInteger)?;
            named = Some((String::from_utf8_lossy(host).into_owned(), port));
        } else if !order.force && args.take("FORCE") {
            order.force = true;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    // A port that cannot be is nobody's.
    order.target = named.map(|(host, port)| Address { host, port: u16::try_from(port).unwrap_or(0) });
    cx.server.begin_failover(order)?;
    cx.server.tend_failover();
    cx.reply().ok();
    Ok(())
}
