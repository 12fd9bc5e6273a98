//! Bytes to requests and replies, and back: the only folder that knows RESP2 and RESP3, and the only one that names
//! `redis_protocol`.
//!
//! It does no IO, keeps no clock and knows no command. Every function works on bytes the caller holds:
//!
//! ```text
//! client bytes ---> Parser ---> Args (ranges into those bytes) ---> Request (a view: arguments as slices)
//! reply        ---> Writer ---> bytes, in the shapes of RESP2 or RESP3
//! peer bytes   ---> Decoder's checks (depth, lengths) ---> redis_protocol ---> Frame
//! ```
//!
//! Invariants:
//! 1. A request is never parsed twice: a parser that lacks bytes resumes where it stopped, with places relative to the
//!    start of the request, so that the bytes may move between buffers meanwhile (`request::tests::split_at_every_byte`).
//! 2. No length that a peer names makes memory; only bytes that arrived do (`request::tests::a_huge_count_takes_no_memory`,
//!    `frame::tests::hostile_lengths_and_depths`).
//! 3. No input panics, for requests and for frames (`tests/fuzz_wire.rs`).
//! 4. The texts of protocol errors are Redis' (`request::tests::every_error_text`).
//! 5. An error reply is one line, whatever its text holds (`write::tests::an_error_is_one_line`).
//!
//! Reading order: [`request`](Parser) (what clients send), [`write`](Writer) (what they get), [`frame`](Frame) (what
//! other servers answer to us), `inline` (the telnet form of a request).
//!
//! Why a parser of our own for requests: the crate's decoders recurse without a limit (40 KB of `*1\r\n` end the
//! process), know no limits and no inline commands, re-parse partial requests from their start, and cost 130-380 ns a
//! command where this one costs about 30. For replies from peers, which are few, the crate does the work behind an
//! iterative check of depth and lengths; and it is the judge in the property tests of the parser.
//!
//! Tests: `cargo test --lib resp::` and `cargo test --test fuzz_wire`.

mod frame;
mod inline;
mod request;
mod write;

pub use frame::{Frame, FrameError, decode};
pub use inline::words;
pub use request::{Args, Iter, Parser, ProtocolError, Request, RequestLimits, Step};
pub use write::{Proto, Writer, command};
