//! `regent`: the command line.

use clap::{Parser, Subcommand};
use regent::resp::{Frame, command, decode};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: regent::runtime::allocator::Counting = regent::runtime::allocator::Counting;

/// jemalloc's settings: pages that were freed go back to the system from a thread of its own, not from the loop's.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Option<&'static std::ffi::c_char> =
    // SAFETY: the pointer is to a static string that ends in a zero byte, which is how jemalloc reads it.
    Some(unsafe { &*c"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0".as_ptr() });

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
    /// Ask a server of this machine, and print its reply as redis-cli does where its output is no terminal
    #[command(hide = true)]
    Ask {
        /// The server's port on 127.0.0.1
        port: u16,
        /// A command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// How long `regent ask` waits for a connection, and for each piece of the reply.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// The exit status of `regent ask`: 0, and 1 where there is no reply or an error reply.
fn ask(port: u16, words: &[String]) -> i32 {
    match reply(port, words) {
        Ok(frame) => {
            let mut text = Vec::new();
            plain(&frame, &mut text);
            let written = std::io::stdout().write_all(&text);
            i32::from(written.is_err() || frame.error().is_some())
        }
        Err(error) => {
            eprintln!("127.0.0.1:{port}: {error}");
            1
        }
    }
}

fn reply(port: u16, words: &[String]) -> Result<Frame> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), ASK_PATIENCE)?;
    stream.set_read_timeout(Some(ASK_PATIENCE))?;
    stream.set_write_timeout(Some(ASK_PATIENCE))?;
    let mut request = Vec::new();
    command(words, &mut request);
    stream.write_all(&request)?;
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some((frame, _)) = decode(&received).map_err(Error::other)? {
            return Ok(frame);
        }
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => received.extend_from_slice(&piece[..count]),
        }
    }
}

/// One line for each string, number, error or null, in the order of the wire.
fn plain(frame: &Frame, out: &mut Vec<u8>) {
    match frame {
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => {
            return items.iter().for_each(|item| plain(item, out));
        }
        Frame::Map(pairs) => {
            return pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|item| plain(item, out));
        }
        Frame::Error(text) => out.extend_from_slice(text.as_bytes()),
        Frame::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Frame::Double(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Frame::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Frame::Null => {}
        Frame::Simple(_) | Frame::Bulk(_) | Frame::BigNumber(_) | Frame::Verbatim(_) => {
            out.extend_from_slice(frame.text().unwrap_or_default());
        }
    }
    out.push(b'\n');
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
            Role::Ask { port, words } => ask(port, &words),
        },
    };
    std::process::exit(status);
}
