//! What stands on the disk at a start: the segments of each generation, the tail to replay, and where it ends.

use super::record::{HeaderFault, Kind, SEGMENT_HEADER, SegmentHeader};
use super::segment::{Found, Scan, Segment};
use crate::base::Offset;
use crate::store::error::LogError;
use crate::store::history::HistoryChange;
use crate::store::medium::Medium;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How much of a tail is written again at once.
const REWRITE_BYTES: usize = 1 << 20;

/// The segments found, by generation and offset.
pub struct OnDisk {
    pub generations: BTreeMap<u64, Vec<Arc<Segment>>>,
    /// Files with no whole header: segments whose making was cut off, before any record.
    pub unborn: Vec<String>,
}

/// Looks at all segments' headers. An error if a file holds data but no header.
pub fn look(medium: &dyn Medium) -> Result<OnDisk, LogError> {
    let mut found = OnDisk { generations: BTreeMap::new(), unborn: Vec::new() };
    let names = medium.list().map_err(|cause| LogError::files(medium.path(""), cause))?;
    for name in names.into_iter().filter(|name| name.ends_with(".log")) {
        let path = medium.path(&name);
        let file = medium.open(&name).map_err(|cause| LogError::read(&path, cause))?;
        let length = file.length().map_err(|cause| LogError::read(&path, cause))?;
        let mut bytes = [0; SEGMENT_HEADER as usize];
        let read = file.read_at(&mut bytes, 0).map_err(|cause| LogError::read(&path, cause))?;
        let corrupt = |why: String| LogError::Corrupt { file: path.clone(), position: 0, offset: Offset(0), why };
        match SegmentHeader::decode(&bytes[..read]) {
            Ok(header) if header.file_name() != name => {
                return Err(corrupt(format!("it calls itself {}", header.file_name())));
            }
            Ok(header) => {
                let segment = Segment::new(medium, header, file, length, header.start);
                found.generations.entry(header.generation).or_default().push(Arc::new(segment));
            }
            Err(HeaderFault::Torn) if length <= SEGMENT_HEADER => found.unborn.push(name),
            Err(HeaderFault::Torn) => return Err(corrupt("it has no segment header".into())),
            Err(HeaderFault::Version(version)) => {
                return Err(corrupt(format!("its format {version} is not known to this program")));
            }
        }
    }
    for segments in found.generations.values_mut() {
        segments.sort_by_key(|segment| segment.header.start);
        // Where a successor stands, the segment before it was synced to its start: that is its end.
        for pair in segments.windows(2) {
            pair[0].extend(pair[0].length(), pair[1].header.start);
        }
    }
    Ok(found)
}

/// A torn tail: what was cut off the log's end, because it was never synced and never whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// The byte in the file that it was cut at.
    pub position: u64,
    /// The stream offset there.
    pub offset: Offset,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What was wrong with them.
    pub why: String,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cut { file, position, offset, bytes, why } = self;
        write!(
            f,
            "torn tail of the log {}: {bytes} bytes cut off at byte {position} (offset {offset}): {why}",
            file.display()
        )
    }
}

/// One thing to replay.
#[derive(Debug)]
pub enum Entry<'a> {
    /// Bytes of the stream: whole replication units that begin at `offset`.
    Stream {
        /// Where they begin.
        offset: Offset,
        /// The bytes.
        bytes: &'a [u8],
        /// The stream's selected database behind them.
        db_after: u32,
    },
    /// A change of history at `offset`.
    History {
        /// Where.
        offset: Offset,
        /// To what.
        change: HistoryChange,
    },
}

/// The records from the checkpoint's offset to the end of the log, in order. Its end is known when it has returned
/// `None`.
pub struct Tail {
    segments: Vec<Arc<Segment>>,
    next: usize,
    scan: Option<Scan>,
    from: Offset,
    end: Offset,
    db: u32,
    known_synced: Offset,
    cut: Option<Cut>,
    finished: bool,
    last_history: Option<HistoryChange>,
}

impl Tail {
    /// The records of these segments from `from` on; `db` is the stream's database there. An error if `from` is not in
    /// them.
    pub(in crate::store) fn new(segments: Vec<Arc<Segment>>, from: Offset, db: u32) -> Result<Self, LogError> {
        let first = segments.first().expect("a generation has a segment");
        let out_of_range = LogError::OutOfRange {
            asked: from,
            start: first.header.start,
            end: segments.last().map_or(from, |last| last.end()),
        };
        // The first segment that holds anything at or beyond `from`: a record of history at `from` may stand at the end
        // of the segment that ends there.
        let after = segments.partition_point(|segment| segment.header.start < from);
        let next = after.saturating_sub(1);
        if first.header.start > from {
            return Err(out_of_range);
        }
        Ok(Tail {
            next,
            scan: None,
            from,
            end: segments[next].header.start,
            db,
            known_synced: segments.last().expect("not empty").header.start,
            cut: None,
            finished: false,
            last_history: None,
            segments,
        })
    }

    /// Bytes of the segments that are to be read.
    pub fn bytes(&self) -> u64 {
        self.segments[self.next.min(self.segments.len())..].iter().map(|segment| segment.length()).sum()
    }

    /// The next entry; `None` at the end of the log. Damage that is not a torn tail is an error.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, LogError> {
        loop {
            if self.finished {
                return Ok(None);
            }
            let Some((kind, body, offset)) = self.step()? else { continue };
            let scan = self.scan.as_ref().expect("a step that found a record has a scan");
            let bytes = scan.bytes(body);
            return Ok(Some(match kind {
                Kind::Stream => {
                    let skipped = self.from.bytes_since(offset);
                    let bytes = &bytes[skipped as usize..];
                    Entry::Stream { offset: offset + skipped, bytes, db_after: self.db }
                }
                Kind::History => {
                    let change = HistoryChange::decode(bytes).map_err(|why| scan.corrupt(why.to_string()))?;
                    self.last_history = Some(change.clone());
                    Entry::History { offset, change }
                }
            }));
        }
    }

    /// Reads one record; `None` where there was nothing to hand out.
    fn step(&mut self) -> Result<Option<(Kind, std::ops::Range<usize>, Offset)>, LogError> {
        let last = self.next + 1 >= self.segments.len();
        if self.scan.is_none() {
            let Some(segment) = self.segments.get(self.next) else {
                self.finished = true;
                return Ok(None);
            };
            self.scan = Some(Scan::new(segment.clone()));
        }
        let scan = self.scan.as_mut().expect("just set");
        let path = scan.segment.path.clone();
        let limit = scan.segment.length();
        match scan.peek(limit).map_err(|cause| LogError::read(&path, cause))? {
            Found::Record { header, body } => {
                scan.pass(&header);
                self.known_synced = self.known_synced.max(header.synced);
                self.end = header.end();
                // A record that ends at or below the checkpoint is in it, but for a change of history exactly there:
                // replaying that once more does no harm.
                let behind = match header.kind {
                    Kind::Stream => self.end <= self.from,
                    Kind::History => header.offset < self.from,
                };
                if behind {
                    return Ok(None);
                }
                self.db = header.db;
                Ok(Some((header.kind, body, header.offset)))
            }
            Found::End if last => {
                self.close()?;
                Ok(None)
            }
            Found::End => {
                let wanted = self.segments[self.next + 1].header.start;
                if scan.offset != wanted {
                    let why = format!("it ends here, and its successor begins at offset {wanted}");
                    return Err(scan.corrupt(why));
                }
                self.next += 1;
                self.scan = None;
                Ok(None)
            }
            Found::Bad { why } if last => {
                let beyond = scan.synced_beyond(limit).map_err(|cause| LogError::read(&path, cause))?;
                let known = self.known_synced.max(beyond.unwrap_or_default());
                if known > scan.offset {
                    return Err(scan.corrupt(format!("{why}, below offset {known}, which was synced")));
                }
                let (position, offset) = (scan.position, scan.offset);
                self.cut = Some(Cut { file: path, position, offset, bytes: limit - position, why });
                self.close()?;
                Ok(None)
            }
            Found::Bad { why } => Err(scan.corrupt(why)),
        }
    }

    fn close(&mut self) -> Result<(), LogError> {
        let scan = self.scan.as_ref().expect("the last segment has been scanned");
        self.end = scan.offset;
        if self.end < self.from {
            let why = format!("the log ends here, below the checkpoint's offset {}", self.from);
            return Err(scan.corrupt(why));
        }
        scan.segment.extend(scan.position, scan.offset);
        self.finished = true;
        Ok(())
    }

    /// Where the log ends: the end of its last good record. Known once [`next_entry`](Self::next_entry) returned `None`.
    pub fn end(&self) -> Option<Offset> {
        self.finished.then_some(self.end)
    }

    /// The torn tail that will be cut, if there is one.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The stream's database behind the last entry returned.
    pub fn db(&self) -> u32 {
        self.db
    }

    /// The last change of history returned.
    pub fn last_history(&self) -> Option<&HistoryChange> {
        self.last_history.as_ref()
    }

    /// Cuts the torn tail and brings the rest to the disk; the segments, which end at the last good record.
    ///
    /// What is not known to be synced is written once more first: had the former process been told that its fsync failed,
    /// the system may hold those bytes for clean, and a sync that succeeds now would say nothing of them.
    pub(in crate::store) fn finish(self, medium: &dyn Medium) -> Result<Vec<Arc<Segment>>, LogError> {
        assert!(self.finished, "the tail has been read to its end");
        let last = self.segments.last().expect("a generation has a segment");
        let fault = |cause| LogError::files(&last.path, cause);
        if self.cut.is_some() {
            last.file.truncate(last.length()).map_err(fault)?;
        }
        let mut scan = Scan::new(last.clone());
        while let Found::Record { header, .. } = scan.peek(last.length()).map_err(fault)? {
            if header.offset >= self.known_synced {
                break;
            }
            scan.pass(&header);
        }
        // The process may have ended between making the segment and syncing it: then its header and name are not safe either.
        let mut at = if scan.position == SEGMENT_HEADER { 0 } else { scan.position };
        let mut bytes = vec![0; REWRITE_BYTES];
        while at < last.length() {
            let wanted = bytes.len().min((last.length() - at) as usize);
            let read = last.file.read_at(&mut bytes[..wanted], at).map_err(fault)?;
            medium.rewrite(&last.name, at, &bytes[..read]).map_err(fault)?;
            at += read.max(1) as u64;
        }
        last.file.sync_data().and_then(|()| medium.sync_dir()).map_err(fault)?;
        Ok(self.segments)
    }
}
