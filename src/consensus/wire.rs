//! What members say to each other over the ordinary port.
//!
//! ```text
//! dialler  -> GREETING  u32 length  [version, Greeting { pass }]
//! listener -> u32 length  [version, Result<Welcome, Refusal>]
//! then     -> u32 length  u64 request id  [version, PeerRequest]
//!          <- u32 length  u64 request id  [version, PeerResponse]
//! ```
//!
//! All integers are little endian; a length counts what follows it and is capped before anything is read. The first byte
//! of [`GREETING`] is 0xFF, which starts neither a RESP request nor an inline command of any client, so a listener that
//! peeks eight bytes tells a member from a client. A request id makes an answer that comes late harmless: [`call`] uses a
//! connection for one request at a time and gives it up when the answer is not whole, and a transport that multiplexes
//! pairs answers by id.
//!
//! The group's id stands in each request, not in the greeting: it appears during a connection's life, at founding.
//!
//! The pass (`sentinel-pass` or `requirepass`) travels as in AUTH: readable to who can listen; TLS hides it. It is
//! compared by digest in constant time.

use super::records::{BadRecord, decode, encode_into};
use super::types::{PeerNode, RaftId, TypeConfig, Vote};
use crate::base::GroupId;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::{fmt, io};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The first bytes of a connection between members.
pub const GREETING: [u8; 8] = *b"\xFFregent\x01";
/// The longest frame: a snapshot, or a batch of log entries.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest greeting, read before the peer has proved anything.
pub const GREETING_BYTES_MAX: usize = 4096;

/// What the dialler says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    #[serde(with = "serde_bytes")]
    pass: Option<Vec<u8>>,
}

/// The listener's answer when it lets the dialler in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Who listens here.
    pub raft_id: RaftId,
}

/// Why a listener does not serve. Its connection ends where [`Refusal::ends_connection`] says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The pass is missing or wrong.
    WrongPass,
    /// The listener belongs to another group.
    ForeignGroup { ours: Option<GroupId>, theirs: Option<GroupId> },
    /// Somebody else listens at this address now.
    WrongMember { ours: RaftId, wanted: RaftId },
    /// Only the leader can do that; nothing was done. Names it where it is known.
    NotLeader { leader: Option<RaftId> },
    /// A quorum did not confirm the leader; nothing was done.
    NoQuorum,
    /// It is not known whether the command takes effect.
    Unknown,
    /// The membership cannot be changed like this, or not now.
    Membership(String),
    /// The listener's Raft has ended: shut down, or its disk failed.
    Stopped(String),
    /// The request does not decode, or is too long.
    Malformed(String),
}

impl Refusal {
    /// Whether both sides must drop the connection: an answer of this kind can be stale for a member that was restarted
    /// behind the same address.
    pub fn ends_connection(&self) -> bool {
        match self {
            Refusal::NotLeader { .. } | Refusal::NoQuorum | Refusal::Unknown | Refusal::Membership(_) => false,
            Refusal::WrongPass
            | Refusal::ForeignGroup { .. }
            | Refusal::WrongMember { .. }
            | Refusal::Stopped(_)
            | Refusal::Malformed(_) => true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |id: &Option<GroupId>| id.map_or("no group".to_owned(), |id| format!("group {id}"));
        match self {
            Refusal::WrongPass => f.write_str("wrong pass"),
            Refusal::ForeignGroup { ours, theirs } => {
                write!(f, "a member of {} was asked by {}", group(ours), group(theirs))
            }
            Refusal::WrongMember { ours, wanted } => write!(f, "member {ours:x} listens here, not {wanted:x}"),
            Refusal::NotLeader { leader: Some(leader) } => write!(f, "not the leader, which is {leader:x}"),
            Refusal::NotLeader { leader: None } => f.write_str("not the leader, and none is known"),
            Refusal::NoQuorum => f.write_str("no quorum"),
            Refusal::Unknown => f.write_str("the outcome is unknown"),
            Refusal::Membership(why) | Refusal::Stopped(why) | Refusal::Malformed(why) => f.write_str(why),
        }
    }
}

/// A change of who is in the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// A member that follows and does not vote.
    AddLearner { id: RaftId, node: PeerNode },
    /// Exactly these vote; each is a learner already, or a voter. Voters left out become learners.
    SetVoters(BTreeSet<RaftId>),
    /// It is no longer in the group at all.
    Remove(RaftId),
    /// It is reached elsewhere.
    SetNode { id: RaftId, node: PeerNode },
}

/// One request from a member, with who asks whom in which group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerRequest {
    /// The asker's group; `None` before founding.
    pub group: Option<GroupId>,
    /// The asker.
    pub from: RaftId,
    /// The member that is meant; `None`: whoever listens there.
    pub to: Option<RaftId>,
    /// What is asked.
    pub ask: Ask,
}

/// What one member asks another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    /// Log entries, or a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    /// A whole snapshot.
    Snapshot {
        vote: Vote,
        meta: openraft::alias::SnapshotMetaOf<TypeConfig>,
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// Propose this command; only a leader does.
    Propose(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The index that a read must have applied; only a leader knows.
    ReadIndex,
    /// Change the membership; only a leader does.
    Member(MemberChange),
    /// Founding, joining, opinions: for the handler given at start.
    Other(#[serde(with = "serde_bytes")] Vec<u8>),
}

impl Ask {
    /// Whether it is large and may take seconds: a transport keeps it off the connections that heartbeats use.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Ask::Snapshot { .. })
    }
}

/// The answer to a [`PeerRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PeerResponse {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    PreVote(VoteResponse<TypeConfig>),
    Snapshot(SnapshotResponse<TypeConfig>),
    Transfer(TransferLeaderResponse<TypeConfig>),
    /// Committed and applied by the leader at this index, with this outcome.
    Proposed {
        index: u64,
        #[serde(with = "serde_bytes")]
        outcome: Vec<u8>,
    },
    /// What is applied up to here is not stale.
    ReadIndex(u64),
    /// Done, by the entry at this index.
    Member(u64),
    Other(#[serde(with = "serde_bytes")] Vec<u8>),
    Refused(Refusal),
}

/// Why talking on a connection failed; it is of no more use.
#[derive(Debug)]
pub enum WireError {
    /// The connection ended or failed.
    Io(io::Error),
    /// A frame is longer than its cap.
    TooLong { bytes: usize, max: usize },
    /// A frame does not decode, or answers another request.
    Malformed(String),
    /// The listener does not let us in.
    Refused(Refusal),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Io(why) => why.fmt(f),
            WireError::TooLong { bytes, max } => write!(f, "a frame of {bytes} bytes, more than {max}"),
            WireError::Malformed(why) => write!(f, "a frame that {why}"),
            WireError::Refused(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for WireError {}

impl From<io::Error> for WireError {
    fn from(why: io::Error) -> Self {
        WireError::Io(why)
    }
}

impl From<BadRecord> for WireError {
    fn from(why: BadRecord) -> Self {
        WireError::Malformed(why.0)
    }
}

/// Whether these first bytes of a connection are a member's: `None` while they could still become a greeting.
pub fn is_greeting(first: &[u8]) -> Option<bool> {
    let len = first.len().min(GREETING.len());
    match first[..len] == GREETING[..len] {
        false => Some(false),
        true if len == GREETING.len() => Some(true),
        true => None,
    }
}

/// A frame: length, an optional request id, the record.
fn frame<T: Serialize>(id: Option<u64>, value: &T, prefix: &[u8]) -> Vec<u8> {
    let mut out = prefix.to_vec();
    out.extend_from_slice(&[0; 4]);
    if let Some(id) = id {
        out.extend_from_slice(&id.to_le_bytes());
    }
    encode_into(value, &mut out);
    let length = (out.len() - prefix.len() - 4) as u32;
    out[prefix.len()..prefix.len() + 4].copy_from_slice(&length.to_le_bytes());
    out
}

/// The bytes of a request, to be written at once.
pub fn encode_request(id: u64, request: &PeerRequest) -> Result<Vec<u8>, WireError> {
    capped(frame(Some(id), request, &[]))
}

/// The bytes of a response, to be written at once.
pub fn encode_response(id: u64, response: &PeerResponse) -> Result<Vec<u8>, WireError> {
    capped(frame(Some(id), response, &[]))
}

fn capped(bytes: Vec<u8>) -> Result<Vec<u8>, WireError> {
    match bytes.len() - 4 {
        length if length > FRAME_BYTES_MAX => Err(WireError::TooLong { bytes: length, max: FRAME_BYTES_MAX }),
        _ => Ok(bytes),
    }
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S, max: usize) -> Result<Vec<u8>, WireError> {
    let bytes = stream.read_u32_le().await? as usize;
    if bytes > max {
        return Err(WireError::TooLong { bytes, max });
    }
    let mut frame = vec![0; bytes];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

fn split_id<T: DeserializeOwned>(frame: &[u8]) -> Result<(u64, T), WireError> {
    let (id, record) = frame.split_first_chunk().ok_or_else(|| WireError::Malformed("has no request id".to_owned()))?;
    Ok((u64::from_le_bytes(*id), decode(record)?))
}

/// Reads one request (listener). An end of the stream between two requests is an [`io::ErrorKind::UnexpectedEof`].
pub async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(u64, PeerRequest), WireError> {
    split_id(&read_frame(stream, FRAME_BYTES_MAX).await?)
}

/// Reads one response (dialler).
pub async fn read_response<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(u64, PeerResponse), WireError> {
    split_id(&read_frame(stream, FRAME_BYTES_MAX).await?)
}

/// Opens a connection (dialler): greets, and hears who listens.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    pass: Option<&[u8]>,
) -> Result<Welcome, WireError> {
    let greeting = Greeting { pass: pass.map(<[u8]>::to_vec) };
    stream.write_all(&frame(None, &greeting, &GREETING)).await?;
    stream.flush().await?;
    let answer: Result<Welcome, Refusal> = decode(&read_frame(stream, GREETING_BYTES_MAX).await?)?;
    answer.map_err(WireError::Refused)
}

/// Opens a connection (listener), from its first byte on; answers the greeting. With an error the caller closes.
pub async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    pass: Option<&[u8]>,
    welcome: Welcome,
) -> Result<(), WireError> {
    let mut magic = [0; GREETING.len()];
    stream.read_exact(&mut magic).await?;
    if magic != GREETING {
        return Err(WireError::Malformed("is no greeting".to_owned()));
    }
    let greeting: Greeting = decode(&read_frame(stream, GREETING_BYTES_MAX).await?)?;
    let answer = if passes(pass, greeting.pass.as_deref()) { Ok(welcome) } else { Err(Refusal::WrongPass) };
    stream.write_all(&frame(None, &answer, &[])).await?;
    stream.flush().await?;
    answer.map(|_| ()).map_err(WireError::Refused)
}

/// Whether the pass that was given serves: always where none is wanted. Takes the same time for every wrong one.
fn passes(wanted: Option<&[u8]>, given: Option<&[u8]>) -> bool {
    let Some(wanted) = wanted else { return true };
    let Some(given) = given else { return false };
    Sha256::digest(wanted).ct_eq(&Sha256::digest(given)).into()
}

/// One request and its answer on a connection that nobody else uses meanwhile. If it fails, or its future is dropped
/// half-way, or [`Refusal::ends_connection`], the caller must drop the connection: an answer may still be in the pipe.
pub async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    id: u64,
    request: &PeerRequest,
) -> Result<PeerResponse, WireError> {
    stream.write_all(&encode_request(id, request)?).await?;
    stream.flush().await?;
    match read_response(stream).await? {
        (answered, response) if answered == id => Ok(response),
        (answered, _) => Err(WireError::Malformed(format!("answers request {answered}, not {id}"))),
    }
}

/// Serves an admitted connection until it ends, one request at a time. Returns when the peer closes, on a broken frame,
/// or after an answer that ends the connection.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, group: &super::Group) -> Result<(), WireError> {
    loop {
        let (id, request) = match read_request(stream).await {
            Err(WireError::Io(why)) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let response = group.serve(request).await;
        stream.write_all(&encode_response(id, &response)?).await?;
        stream.flush().await?;
        if let PeerResponse::Refused(why) = response
            && why.ends_connection()
        {
            return Err(WireError::Refused(why));
        }
    }
}
