//! Small answers about the node: TIME, and MODULE, of a server without modules.

use super::config::is_local;
use super::help::help;
use crate::command::spec::{ADMIN, FAST, Flags, Group, LOADING, NO_ASYNC_LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};

pub const ROWS: &[Spec] = &[
    spec("time", 1, LOADING.or(STALE).or(FAST), Group::Server, time).doc("2.6.0", "Returns the server time."),
    spec("module", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
        .doc("4.0.0", "A container for module commands.")
        .with(&[
            spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| help(cx, MODULE_HELP))
                .sub_of("module")
                .doc("5.0.0", "Returns helpful text about the different subcommands."),
            spec("list", 2, ADMIN.or(NOSCRIPT), Group::Server, module_list)
                .sub_of("module")
                .doc("4.0.0", "Returns all loaded modules."),
            spec("load", -3, MODULES, Group::Server, module_load).sub_of("module").doc("4.0.0", "Loads a module."),
            spec("loadex", -3, MODULES, Group::Server, module_load)
                .sub_of("module")
                .doc("7.0.0", "Loads a module, with its configuration."),
            spec("unload", 3, MODULES, Group::Server, module_unload).sub_of("module").doc("4.0.0", "Unloads a module."),
        ]),
];

const MODULES: Flags = ADMIN.or(NOSCRIPT).or(NO_ASYNC_LOADING);

const MODULE_HELP: &[&str] = &[
    "LIST",
    "    Return a list of loaded modules.",
    "LOAD <path> [<arg> ...]",
    "    Load a module library from <path>, passing to it any optional arguments.",
    "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
    "    Load a module library from <path>, while passing it module configurations and optional arguments.",
    "UNLOAD <name>",
    "    Unload a module.",
];

/// TIME: seconds and microseconds of the turn.
fn time(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let now = cx.now;
    let mut reply = cx.reply();
    reply.array(2);
    reply.bulk_int(now.seconds());
    reply.bulk_int(now.0.rem_euclid(1000) * 1000);
    Ok(())
}

/// MODULE LIST
fn module_list(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply().array(0);
    Ok(())
}

const NOT_ALLOWED: &str = "MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run \
                           it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

fn module_allowed(cx: &mut Cx<'_>) -> Outcome {
    let local = is_local(cx.client());
    match cx.server.config.settings.enable_module_command.allows(local) {
        true => Ok(()),
        false => Err(Refusal::err(NOT_ALLOWED)),
    }
}

/// MODULE LOAD path \[arg ...\], MODULE LOADEX path \[CONFIG name value ...\] \[ARGS arg ...\]: there is no way to load one.
fn module_load(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    module_allowed(cx)?;
    tracing::warn!("Module {} failed to load: this server has no modules", args.bytes()?.escape_ascii());
    Err(Refusal::err("Error loading the extension. Please check the server logs."))
}

/// MODULE UNLOAD name
fn module_unload(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    module_allowed(cx)?;
    Err(Refusal::err("Error unloading module: no such module with that name"))
}
