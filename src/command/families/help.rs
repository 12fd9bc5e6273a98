//! The HELP of containers: one shape for all.

use crate::command::{Cx, Outcome};

/// Replies with what the running container's HELP says: a head, `lines`, and HELP itself.
pub fn help(cx: &mut Cx<'_>, lines: &[&str]) -> Outcome {
    let name = cx.spec.parent.unwrap_or(cx.spec.name).to_uppercase();
    let mut reply = cx.reply();
    reply.array(lines.len() + 3);
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        reply.simple(line);
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
    Ok(())
}
