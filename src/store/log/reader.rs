//! Reads the stream from disk for replicas that ask for more than the memory backlog holds.

use super::segment::{Found, Scan, Segment};
use super::shared::Shared;
use crate::base::Offset;
use crate::store::error::LogError;
use std::sync::Arc;

/// A reading handle; each clone keeps its own place. Safe beside appends, trims and changes of generation: a segment that
/// was trimmed while it is being read stays readable to its end.
pub struct LogReader {
    shared: Arc<Shared>,
    scan: Option<Scan>,
}

impl Clone for LogReader {
    fn clone(&self) -> Self {
        LogReader::new(self.shared.clone())
    }
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        LogReader { shared, scan: None }
    }

    /// The first offset on disk and the end.
    pub fn range(&self) -> (Offset, Offset) {
        let state = self.shared.state.lock();
        let end = self.shared.end();
        (state.segments.first().map_or(end, |first| first.start.offset), end)
    }

    /// Up to `max_bytes` of the stream from `from` on; empty at the end of the log. The log's disk is read: call it from
    /// a thread that may block. An error if the offset is not in the log, or the data is damaged.
    pub fn read(&mut self, from: Offset, max_bytes: usize) -> Result<Vec<u8>, LogError> {
        let mut out = Vec::new();
        let mut at = from;
        while out.len() < max_bytes {
            let Some(segment) = self.segment_of(at)? else { break };
            self.read_segment(&segment, at, max_bytes - out.len(), &mut out)?;
            let reached = from + out.len() as u64;
            if reached == at {
                break;
            }
            at = reached;
        }
        Ok(out)
    }

    /// The segment that holds the byte at `offset`; `None` at the end of the log.
    fn segment_of(&self, offset: Offset) -> Result<Option<Arc<Segment>>, LogError> {
        let state = self.shared.state.lock();
        let end = state.segments.last().map_or(Offset(0), |last| last.end());
        let start = state.segments.first().map_or(end, |first| first.start.offset);
        if offset < start || offset > end {
            return Err(LogError::OutOfRange { asked: offset, start, end });
        }
        let after = state.segments.partition_point(|segment| segment.start.offset <= offset);
        Ok(state.segments[..after].last().filter(|segment| offset < segment.end()).cloned())
    }

    fn read_segment(
        &mut self,
        segment: &Arc<Segment>,
        from: Offset,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), LogError> {
        let scan = match &mut self.scan {
            Some(scan) if Arc::ptr_eq(&scan.segment, segment) && scan.offset <= from => scan,
            other => other.insert(Scan::new(segment.clone())),
        };
        let limit = segment.length();
        let (mut from, mut room) = (from, room);
        loop {
            let found = scan.peek(limit).map_err(|cause| LogError::read(&segment.path, cause))?;
            let (header, body) = match found {
                Found::End => return Ok(()),
                Found::Bad { why } => return Err(scan.corrupt(why)),
                Found::Record { header, body } => (header, body),
            };
            if header.end() <= from {
                scan.pass(&header);
                continue;
            }
            let bytes = &scan.bytes(body)[from.bytes_since(header.offset) as usize..];
            let taken = bytes.len().min(room);
            out.extend_from_slice(&bytes[..taken]);
            if taken < bytes.len() {
                return Ok(());
            }
            room -= taken;
            from = header.end();
            scan.pass(&header);
            if room == 0 {
                return Ok(());
            }
        }
    }
}
