//! `regent`: the command line.

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// High availability for Redis: a data node with a durable replication history, and a Sentinel whose agreed state is a
/// Raft log.
#[derive(Parser)]
#[command(name = "regent", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Run a data node: `regent node [redis.conf] [--directive value ...]`
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Node {
        /// A redis.conf, `-` for the standard input, and directives: `--port 7001 --appendonly yes`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a sentinel: `regent sentinel sentinel.conf [--directive value ...]`
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Sentinel {
        /// A sentinel.conf that can be written, and directives: `--port 5001 --lookup local`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() {
    let mut words: Vec<String> = std::env::args().collect();
    let called = words.first().map(|path| path.rsplit('/').next().unwrap_or(path).to_string()).unwrap_or_default();
    if called == "redis-server" {
        words.insert(1, "node".into());
    }
    if called == "redis-sentinel" {
        words.insert(1, "sentinel".into());
    }
    let status = match words.get(1).map(String::as_str) {
        Some("node") => regent::node::run(&words[2..]),
        Some("sentinel") => regent::sentinel::run(&words[2..]),
        _ => match Cli::parse_from(words).role {
            Role::Node { args } => regent::node::run(&args),
            Role::Sentinel { args } => regent::sentinel::run(&args),
        },
    };
    std::process::exit(status);
}
