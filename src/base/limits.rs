//! Every bound of a queue, a size or a time that is not a directive, in one place, and how they relate.

/// The shared read buffer of the node's loop: what one connection may bring in one read of a large request.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What one connection may bring in one read of many small requests, before the others are served (as Redis'
/// `PROTO_IOBUF_LEN`).
pub const READ_SHARE_BYTES: usize = 16 * 1024;

/// What one connection is sent of a large output before the others are served (Redis' `NET_MAX_WRITES_PER_EVENT` is half
/// of it).
pub const SEND_SHARE_BYTES: usize = 128 * 1024;

/// The least that this is lowered to where requests take long: as they do while a checkpoint begins, since the first
/// write to a page serialises it.
pub const READ_SHARE_BYTES_MIN: usize = 1024;

/// What one connection's share of the loop should take at most, microseconds.
pub const READ_SHARE_US: u64 = 1000;

/// The longest line of an inline command, and of a protocol header (`PROTO_INLINE_MAX_SIZE` of Redis).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// The most arguments of one request, as Redis 7 has it (before 7.0 it was 1024 * 1024). It bounds nothing by itself:
/// arguments take memory only as their bytes arrive, and those are bounded by `client-query-buffer-limit`.
pub const MULTIBULK_MAX: i64 = i32::MAX as i64;

/// The most elements of one aggregate in a reply frame from a peer.
pub const FRAME_ITEMS_MAX: i64 = 1024 * 1024;

/// Arguments and argument bytes allowed before a client has authenticated.
pub const UNAUTHENTICATED_MULTIBULK_MAX: i64 = 10;
/// See [`UNAUTHENTICATED_MULTIBULK_MAX`].
pub const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;

/// The deepest nesting of a reply frame from a peer; deeper ones end the link (redis-protocol recurses without a limit).
pub const FRAME_DEPTH_MAX: usize = 32;

/// The largest value that sled may be given: from a quarter of its segment on, it makes files that are not reclaimed.
pub const SLED_VALUE_BYTES_MAX: usize = 64 * 1024;

/// The largest string (`proto-max-bulk-len`'s default), also for APPEND and SETRANGE.
pub const STRING_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// One slice of a checkpoint's hand-over, on the node's loop, microseconds.
pub const SLICE_US_MAX: u64 = 500;

/// Space on the disk that the log holds in advance, so that what a turn has executed can always be appended: below the
/// first figure it is short of room, and writes are refused; below the second it asks for more, up to the third.
pub const LOG_ROOM_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// See [`LOG_ROOM_BYTES_MIN`].
pub const LOG_ROOM_LOW_BYTES: u64 = 12 * 1024 * 1024;
/// See [`LOG_ROOM_BYTES_MIN`].
pub const LOG_ROOM_AHEAD_BYTES: u64 = 16 * 1024 * 1024;

const _: () = assert!(LOG_ROOM_BYTES_MIN < LOG_ROOM_LOW_BYTES && LOG_ROOM_LOW_BYTES < LOG_ROOM_AHEAD_BYTES);
const _: () = assert!(LOG_ROOM_BYTES_MIN >= 64 * READ_BUFFER_BYTES as u64);
const _: () = assert!(READ_BUFFER_BYTES >= INLINE_BYTES_MAX);
const _: () = assert!(READ_SHARE_BYTES <= READ_BUFFER_BYTES);
const _: () = assert!(SLED_VALUE_BYTES_MAX < 512 * 1024 / 4);

/// Garbage of Lua is collected before it is told how much is in use, up to this: the figure is stable then.
pub const SCRIPT_SWEPT_BYTES_MAX: usize = 256 * 1024;

/// Instructions of Lua after which a script is asked whether it has run for too long.
pub const SCRIPT_HOOK_INSTRUCTIONS: u32 = 100_000;

/// The deepest nesting of what a script returns: each level holds references to Lua's values, of which there are 8000.
pub const SCRIPT_REPLY_DEPTH_MAX: usize = 512;

/// The deepest nesting that `cmsgpack.pack` writes, as in lua-cmsgpack; what stands deeper is nil.
pub const SCRIPT_MSGPACK_DEPTH_MAX: usize = 16;

/// The longest pattern of `string.find` and its kin: Lua 5.1 calls itself for each of its items.
pub const SCRIPT_PATTERN_BYTES_MAX: usize = 4096;

/// Bytes that the debugger of scripts shows of a value for which no other limit is set (`maxlen 0`)...
pub const DEBUGGER_VALUE_BYTES_MAX: usize = 1024 * 1024;

/// ... and keeps of lines until the script stops.
pub const DEBUGGER_LINES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that the debugger's client may send without a whole command.
pub const DEBUGGER_REQUEST_BYTES_MAX: usize = 1024 * 1024;

const _: () = assert!(DEBUGGER_VALUE_BYTES_MAX < DEBUGGER_LINES_BYTES_MAX);

/// Masters that one group of sentinels watches.
pub const GROUP_MASTERS_MAX: usize = 4096;

/// Sentinels that the group keeps a record of, those on their way out included.
pub const GROUP_MEMBERS_MAX: usize = 64;

/// Replicas that the group remembers for one master.
pub const GROUP_REPLICAS_MAX: usize = 1024;

/// Promotions that the group remembers for one master, the newest ones.
pub const GROUP_PROMOTIONS_MAX: usize = 64;

/// Replication ids that the group remembers for one master, the newest ones: a node away for longer has no lineage.
pub const GROUP_LINEAGE_MAX: usize = 32;

/// The longest name of a master, and the longest host name, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 512;

/// One record or message of the group, encoded.
pub const GROUP_RECORD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Words of a request that an entry of the slow log shows, and bytes of each.
pub const SLOWLOG_WORDS_MAX: usize = 32;
/// See [`SLOWLOG_WORDS_MAX`].
pub const SLOWLOG_WORD_BYTES_MAX: usize = 128;

/// Spikes that LATENCY remembers of one kind of event.
pub const LATENCY_SAMPLES_MAX: usize = 160;

/// The room that a client keeps for replies when all are sent: at first, and at most (Redis' `PROTO_REPLY_MIN_BYTES` and
/// `PROTO_REPLY_CHUNK_BYTES`).
pub const REPLY_BUFFER_BYTES_MIN: usize = 1024;
/// See [`REPLY_BUFFER_BYTES_MIN`].
pub const REPLY_BUFFER_BYTES_MAX: usize = 16 * 1024;

/// The room that a client is given for a request that does not come whole, at least (Redis' `PROTO_IOBUF_LEN`), and what
/// of an announced length is reserved with the first of its bytes, at most; all of it is with the next.
pub const QUERY_BUFFER_BYTES_MIN: usize = 16 * 1024;
/// See [`QUERY_BUFFER_BYTES_MIN`].
pub const QUERY_RESERVE_BYTES_MAX: usize = 1 << 20;

/// Error codes that are counted one by one; what scripts make up beyond them is counted together.
pub const ERROR_CODES_MAX: usize = 128;
