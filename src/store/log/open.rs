//! What stands on the disk at a start: the segments of each generation, the tail to replay, and where it ends.

use super::record::{FIRST_RECORD, HeaderFault, Kind, SEGMENT_HEADER, SegmentHeader, Start};
use super::segment::{Blank, Found, Scan, Segment, synced_told};
use crate::base::Offset;
use crate::store::error::LogError;
use crate::store::history::HistoryChange;
use crate::store::medium::Medium;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How much of a tail is written again at once.
const REWRITE_BYTES: usize = 1 << 20;

/// The segments found, by generation and number.
pub struct OnDisk {
    pub generations: BTreeMap<u64, Files>,
    /// Files with no whole header: their making was cut off, and so was that of the generation, or of a spare.
    pub unborn: Vec<String>,
}

/// The files of one generation.
#[derive(Clone, Default)]
pub struct Files {
    /// Those that were begun, in order.
    pub segments: Vec<Arc<Segment>>,
    /// Spares, and what a power cut made of the start of a segment.
    pub blanks: Vec<Blank>,
}

impl Files {
    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let segments = self.segments.iter().map(|segment| segment.name.clone());
        segments.chain(self.blanks.iter().map(|blank| blank.name.clone()))
    }
}

/// Looks at all segments' headers and starts. An error if a file holds data but no header.
pub fn look(medium: &dyn Medium) -> Result<OnDisk, LogError> {
    let mut found = OnDisk { generations: BTreeMap::new(), unborn: Vec::new() };
    let names = medium.list().map_err(|cause| LogError::files(medium.path(""), cause))?;
    for name in names.into_iter().filter(|name| name.ends_with(".log")) {
        let path = medium.path(&name);
        let file = medium.open(&name).map_err(|cause| LogError::read(&path, cause))?;
        let length = file.length().map_err(|cause| LogError::read(&path, cause))?;
        let mut bytes = [0; FIRST_RECORD as usize];
        let read = file.read_at(&mut bytes, 0).map_err(|cause| LogError::read(&path, cause))?;
        let corrupt = |why: String| LogError::Corrupt { file: path.clone(), position: 0, offset: Offset(0), why };
        let header = match SegmentHeader::decode(&bytes[..read]) {
            Ok(header) if header.file_name() != name => {
                return Err(corrupt(format!("it calls itself {}", header.file_name())));
            }
            Ok(header) => header,
            Err(HeaderFault::Torn) if length <= FIRST_RECORD => {
                found.unborn.push(name);
                continue;
            }
            Err(HeaderFault::Torn) => return Err(corrupt("it has no segment header".into())),
            Err(HeaderFault::Version(version)) => {
                return Err(corrupt(format!("its format {version} is not known to this program")));
            }
        };
        let files = found.generations.entry(header.generation).or_default();
        let blank = Blank::new(medium, header, file, length);
        match Start::decode(header.seed(), &bytes[SEGMENT_HEADER as usize..read.max(SEGMENT_HEADER as usize)]) {
            Some(start) => files.segments.push(Arc::new(Segment::new(&blank, start, length, start.offset))),
            None => files.blanks.push(blank),
        }
    }
    // A generation whose making was cut off.
    found.generations.retain(|_, files| {
        let born = !files.segments.is_empty() || !files.blanks.iter().all(Blank::is_empty);
        if !born {
            found.unborn.extend(files.names());
        }
        born
    });
    for files in found.generations.values_mut() {
        files.segments.sort_by_key(|segment| segment.header.number);
        // A guess until they are read: a power cut may have torn the last two.
        for pair in files.segments.windows(2) {
            pair[0].extend(pair[0].length(), pair[1].start.offset);
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
    /// How many bytes were cut, those of segments behind it included.
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
    blanks: Vec<Blank>,
    /// Segments behind the end of the log: torn off with the tail.
    beyond: Vec<Arc<Segment>>,
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
    /// The records of a generation's files from `from` on; `db` is the stream's database there. An error if `from` is not
    /// in them.
    pub(in crate::store) fn new(files: Files, from: Offset, db: u32) -> Result<Self, LogError> {
        let Files { segments, blanks } = files;
        let Some(first) = segments.first() else {
            let blank = blanks.first().expect("a generation has a file");
            let why = "it does not tell where it begins, and no other segment does".into();
            return Err(LogError::Corrupt { file: blank.path.clone(), position: SEGMENT_HEADER, offset: from, why });
        };
        let out_of_range = LogError::OutOfRange {
            asked: from,
            start: first.start.offset,
            end: segments.last().map_or(from, |last| last.end()),
        };
        // The first segment that holds anything at or beyond `from`: a record of history at `from` may stand at the end
        // of the segment that ends there.
        let after = segments.partition_point(|segment| segment.start.offset < from);
        let next = after.saturating_sub(1);
        if first.start.offset > from {
            return Err(out_of_range);
        }
        let begun = segments.iter().flat_map(|segment| [segment.header.synced, segment.start.synced]);
        let known_synced = begun.chain(blanks.iter().map(|blank| blank.header.synced)).max().unwrap_or_default();
        Ok(Tail {
            next,
            scan: None,
            from,
            end: segments[next].start.offset,
            db,
            known_synced,
            cut: None,
            finished: false,
            last_history: None,
            beyond: Vec::new(),
            segments,
            blanks,
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
                Kind::Start => unreachable!("a step passes it over"),
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
                    Kind::Start => true,
                };
                if behind {
                    return Ok(None);
                }
                self.db = header.db;
                Ok(Some((header.kind, body, header.offset)))
            }
            Found::End if last && self.blanks.iter().all(Blank::is_empty) => {
                self.close()?;
                Ok(None)
            }
            Found::End if last => {
                self.tear("it ends here, and its successor does not tell where it begins".into())?;
                Ok(None)
            }
            Found::End => {
                let next = &self.segments[self.next + 1];
                let (wanted, follows) = (next.start.offset, next.header.number == scan.segment.header.number + 1);
                if scan.offset == wanted && follows {
                    self.next += 1;
                    self.scan = None;
                } else {
                    let why = format!("it ends here, and its successor begins at offset {wanted}");
                    self.tear(why)?;
                }
                Ok(None)
            }
            Found::Bad { why } => {
                self.tear(why)?;
                Ok(None)
            }
        }
    }

    /// The log ends where the scan stands, if nothing from there on is known to have been synced.
    fn tear(&mut self, why: String) -> Result<(), LogError> {
        let scan = self.scan.as_ref().expect("a scan has found it");
        let segment = &scan.segment;
        let beyond = self.segments.split_off(self.next + 1);
        let (segments, blanks) = (beyond.iter(), self.blanks.iter());
        let files: Vec<_> = std::iter::once((&segment.path, &segment.file, segment.seed, scan.position))
            .chain(segments.map(|beyond| (&beyond.path, &beyond.file, beyond.seed, SEGMENT_HEADER)))
            .chain(blanks.map(|blank| (&blank.path, &blank.file, blank.header.seed(), SEGMENT_HEADER)))
            .collect();
        let mut bytes = 0;
        for &(path, file, _, position) in &files {
            bytes += file.length().map_err(|cause| LogError::read(path, cause))?.saturating_sub(position);
        }
        for &(path, file, seed, position) in &files {
            let told = synced_told(&**file, seed, position, scan.offset, bytes);
            let told = told.map_err(|cause| LogError::read(path, cause))?;
            self.known_synced = self.known_synced.max(told.unwrap_or_default());
        }
        if self.known_synced > scan.offset {
            return Err(scan.corrupt(format!("{why}, below offset {}, which was synced", self.known_synced)));
        }
        if bytes > 0 {
            let (file, position, offset) = (segment.path.clone(), scan.position, scan.offset);
            self.cut = Some(Cut { file, position, offset, bytes, why });
        }
        self.beyond = beyond;
        self.close()
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
        // What is behind the end goes first: were it to stand beside a log that grows on, it would be damage.
        let behind = self.beyond.iter().map(|segment| &segment.name).chain(self.blanks.iter().map(|blank| &blank.name));
        let mut removed = false;
        for name in behind {
            medium.remove(name).map_err(|cause| LogError::files(medium.path(name), cause))?;
            removed = true;
        }
        if removed {
            medium.sync_dir().map_err(|cause| LogError::files(medium.path(""), cause))?;
        }
        let last = self.segments.last().expect("a generation has a segment");
        if self.cut.is_some() {
            last.file.truncate(last.length()).map_err(|cause| LogError::files(&last.path, cause))?;
        }
        let unsynced = self.segments.partition_point(|segment| segment.end() < self.known_synced);
        for segment in &self.segments[unsynced.min(self.segments.len() - 1)..] {
            rewrite(medium, segment, self.known_synced).map_err(|cause| LogError::files(&segment.path, cause))?;
        }
        medium.sync_dir().map_err(|cause| LogError::files(medium.path(""), cause))?;
        Ok(self.segments)
    }
}

/// Writes a segment's records from offset `from` on once more, and syncs it.
fn rewrite(medium: &dyn Medium, segment: &Arc<Segment>, from: Offset) -> std::io::Result<()> {
    let mut scan = Scan::new(segment.clone());
    while let Found::Record { header, .. } = scan.peek(segment.length())? {
        if header.offset >= from {
            break;
        }
        scan.pass(&header);
    }
    // The process may have ended between making the segment and syncing it: then its header and name are not safe either.
    let mut at = if scan.position == SEGMENT_HEADER { 0 } else { scan.position };
    let mut bytes = vec![0; REWRITE_BYTES];
    while at < segment.length() {
        let wanted = bytes.len().min((segment.length() - at) as usize);
        let read = segment.file.read_at(&mut bytes[..wanted], at)?;
        medium.rewrite(&segment.name, at, &bytes[..read])?;
        at += read.max(1) as u64;
    }
    segment.file.sync_data()
}
