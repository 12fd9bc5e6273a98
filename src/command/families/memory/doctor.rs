//! MEMORY DOCTOR: what is out of the ordinary about the node's memory, and what may help.

use super::super::info::memory::{peak, ratio};
use crate::command::{Kind, Server};

const MIB: u64 = 1 << 20;

/// Below this nothing can be said.
const USED_MIN: u64 = 5 * MIB;

/// What may be out of the ordinary.
struct Finding {
    is_so: fn(&Server) -> bool,
    text: &'static str,
}

const FINDINGS: &[Finding] = &[
    Finding {
        is_so: |server| exceeds(peak(server), server.memory.used, 1.5, 0),
        text: "The peak is far above what is in use now. Memory that was in use once comes back to the system page by \
               page only, so the resident set may stay high for a while; it is used first when the data grows again.",
    },
    Finding {
        is_so: |server| exceeds(server.memory.rss, server.memory.used, 1.4, 10 * MIB),
        text: "Much more memory is resident than is in use. Where the peak does not account for it, the parts below do.",
    },
    Finding {
        is_so: |server| exceeds(server.memory.active, server.memory.allocated, 1.1, 10 * MIB),
        text: "The allocator's pages are only partly filled: many values of other sizes have gone. MEMORY PURGE gives \
               back what is free as a whole; a restart packs the rest.",
    },
    Finding {
        is_so: |server| exceeds(server.memory.resident, server.memory.active, 1.1, 10 * MIB),
        text: "The allocator holds pages that it does not need now. MEMORY PURGE gives them back at once, and they go \
               by themselves within seconds.",
    },
    Finding {
        is_so: |server| exceeds(server.memory.rss, server.memory.resident, 1.1, 10 * MIB),
        text: "Much of the resident set is not the allocator's: the store's files that are mapped or cached, and the \
               threads' stacks.",
    },
    Finding {
        is_so: |server| server.memory_of_clients(Kind::Replica) > 10 * MIB * count(server, Kind::Replica),
        text: "The replicas' output waits in memory: they read too slowly. Look at their load and at the network; \
               client-output-buffer-limit replica bounds it.",
    },
    Finding {
        is_so: |server| server.memory_of_clients(Kind::Normal) > 200 * 1024 * count(server, Kind::Normal),
        text: "The clients' buffers are large: CLIENT LIST shows whose (omem, qbuf). Large replies that are not read, \
               and requests that come slowly, wait there.",
    },
];

/// Whether one figure is above another by this factor, and by so many bytes.
fn exceeds(figure: u64, other: u64, factor: f64, bytes: u64) -> bool {
    ratio(figure, other) > factor && figure.saturating_sub(other) > bytes
}

fn count(server: &Server, kind: Kind) -> u64 {
    server.clients.iter().filter(|(_, client)| client.kind == kind).count().max(1) as u64
}

/// All findings, or that there are none.
pub fn report(server: &Server) -> String {
    if server.memory.used < USED_MIN {
        return "There is next to nothing in memory: come back when there is some data.\n".into();
    }
    let found: Vec<&Finding> = FINDINGS.iter().filter(|finding| (finding.is_so)(server)).collect();
    if found.is_empty() {
        return "Nothing is out of the ordinary about the memory of this node.\n".into();
    }
    let lines = found.iter().map(|finding| format!(" * {}\n", finding.text));
    format!("What is out of the ordinary:\n\n{}", lines.collect::<String>())
}
