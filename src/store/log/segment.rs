//! One segment file as the log, its sync thread and its readers share it, and the scan that reads its records in order.

use super::record::{FIRST_RECORD, RECORD_HEADER, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER, SegmentHeader, Start};
use crate::base::Offset;
use crate::base::limits::{LOG_ROOM_AHEAD_BYTES as ROOM_AHEAD, LOG_ROOM_BYTES_MIN as ROOM_LEAST};
use crate::store::error::LogError;
use crate::store::medium::{Medium, SegmentFile};
use parking_lot::Mutex;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is read from a segment at once.
const READ_AHEAD_BYTES: usize = 256 * 1024;

/// A segment's file that has its header, but is not begun: made ahead of its need, or given up.
#[derive(Clone)]
pub struct Blank {
    pub name: String,
    pub path: PathBuf,
    pub header: SegmentHeader,
    pub file: Arc<dyn SegmentFile>,
    /// Bytes in the file.
    length: u64,
    reserved: u64,
}

impl Blank {
    /// A file that is there, of this length.
    pub fn new(medium: &dyn Medium, header: SegmentHeader, file: Arc<dyn SegmentFile>, length: u64) -> Self {
        let name = header.file_name();
        Blank { path: medium.path(&name), name, header, file, length, reserved: 0 }
    }

    /// Whether nothing can have stood in it but its start.
    pub fn is_empty(&self) -> bool {
        self.length <= FIRST_RECORD
    }

    /// Makes the file with its header, and room for the first of these numbers of bytes that the disk has; nothing of it
    /// is durable yet.
    pub fn create(medium: &dyn Medium, header: SegmentHeader, rooms: &[u64]) -> Result<Self, LogError> {
        let name = header.file_name();
        let fault = |cause| LogError::files(medium.path(&name), cause);
        let file = medium.create(&name).map_err(fault)?;
        file.append(&header.encode(), &[]).map_err(fault)?;
        let mut blank = Blank::new(medium, header, file, SEGMENT_HEADER);
        let mut refused = None;
        for room in rooms {
            let upto = SEGMENT_HEADER + room;
            match blank.file.reserve(SEGMENT_HEADER, upto) {
                Ok(()) => {
                    blank.reserved = upto;
                    return Ok(blank);
                }
                Err(cause) => refused = Some(cause),
            }
        }
        refused.map_or(Ok(blank), |cause| Err(fault(cause)))
    }

    /// Makes the file durable: header and name.
    pub fn settle(&self, medium: &dyn Medium) -> Result<(), LogError> {
        self.file.sync_data().and_then(|()| medium.sync_dir()).map_err(|cause| LogError::files(&self.path, cause))
    }

    /// Writes where it begins. After an error it may hold any part of that: see [`cut`](Self::cut).
    pub fn begin(&self, start: Start) -> io::Result<Segment> {
        self.file.append(&start.encode(self.header.seed()), &[])?;
        let segment = Segment::new(self, start, FIRST_RECORD, start.offset);
        segment.reserved.store(self.reserved.max(FIRST_RECORD), Ordering::Release);
        Ok(segment)
    }

    /// Gives the room that it has back.
    pub fn close(&self) {
        // What stays reserved goes with the file.
        let _ = self.file.unreserve(self.length);
    }

    /// Makes it blank again.
    pub fn cut(&mut self) -> io::Result<()> {
        self.reserved = 0;
        self.file.truncate(SEGMENT_HEADER)
    }
}

/// An open segment. `length` and `end` are written by the one appender and read by all.
pub struct Segment {
    pub name: String,
    pub path: PathBuf,
    pub header: SegmentHeader,
    pub start: Start,
    pub seed: u32,
    pub file: Arc<dyn SegmentFile>,
    length: AtomicU64,
    end: AtomicU64,
    /// Up to where the file has its space on the disk; changed under `changing`.
    reserved: AtomicU64,
    changing: Mutex<()>,
}

impl Segment {
    /// A segment that ends at `end` with its `length`th byte.
    pub fn new(blank: &Blank, start: Start, length: u64, end: Offset) -> Self {
        let Blank { name, path, header, file, .. } = blank;
        Segment {
            path: path.clone(),
            name: name.clone(),
            seed: header.seed(),
            header: *header,
            start,
            file: file.clone(),
            length: AtomicU64::new(length),
            end: AtomicU64::new(end.0),
            reserved: AtomicU64::new(length),
            changing: Mutex::new(()),
        }
    }

    /// Bytes of header and good records.
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// The offset behind the last good record.
    pub fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Takes space on the disk for what is to be appended next, or at least for what must fit.
    pub fn make_room(&self) -> Result<(), LogError> {
        self.reserve(ROOM_AHEAD).or_else(|_| self.reserve(ROOM_LEAST))
    }

    /// Takes space on the disk for `ahead` bytes behind the last good record.
    fn reserve(&self, ahead: u64) -> Result<(), LogError> {
        let _changing = self.changing.lock();
        let from = self.length();
        let upto = from + ahead;
        if upto > self.reserved.load(Ordering::Acquire) {
            let fault = |cause| LogError::Write { file: self.path.clone(), offset: self.end(), cause: Arc::new(cause) };
            self.file.reserve(from, upto).map_err(fault)?;
            self.reserved.store(upto, Ordering::Release);
        }
        Ok(())
    }

    /// The bytes that can be appended without more space.
    pub fn room(&self) -> u64 {
        self.reserved.load(Ordering::Acquire).saturating_sub(self.length())
    }

    /// Cuts the file behind its last good record; what was reserved goes with the rest.
    pub fn cut(&self) -> io::Result<()> {
        let _changing = self.changing.lock();
        self.reserved.store(self.length(), Ordering::Release);
        self.file.truncate(self.length())
    }

    /// Nothing more is appended: space that it does not need is given back.
    pub fn close(&self) {
        let _changing = self.changing.lock();
        self.reserved.store(self.length(), Ordering::Release);
        // What stays reserved goes with the file.
        let _ = self.file.unreserve(self.length());
    }

    /// Publishes a record that has been written.
    pub fn extend(&self, length: u64, end: Offset) {
        // The length first: who sees the end finds the bytes below it inside the length.
        self.length.store(length, Ordering::Release);
        self.end.store(end.0, Ordering::Release);
    }
}

/// A record found by a [`Scan`]; the body is a range into [`Scan::bytes`].
#[derive(Clone, Debug)]
pub enum Found {
    Record { header: RecordHeader, body: Range<usize> },
    End,
    Bad { why: String },
}

/// Reads the records of one segment in order.
pub struct Scan {
    pub segment: Arc<Segment>,
    /// Where the next record begins in the file.
    pub position: u64,
    /// The stream offset there.
    pub offset: Offset,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    buffer_at: u64,
    verified: u64,
}

impl Scan {
    /// A scan from the segment's first record.
    pub fn new(segment: Arc<Segment>) -> Self {
        let offset = segment.start.offset;
        Scan { segment, position: SEGMENT_HEADER, offset, buffer: Vec::new(), buffer_at: 0, verified: 0 }
    }

    /// The record at `position`, without going past it. `limit`: where the good part of the file ends.
    pub fn peek(&mut self, limit: u64) -> io::Result<Found> {
        let left = limit.saturating_sub(self.position);
        if left == 0 {
            return Ok(Found::End);
        }
        if !self.fill(RECORD_HEADER.min(left as usize), limit)? {
            return Ok(Found::Bad { why: "the file is shorter than it was".into() });
        }
        let at = (self.position - self.buffer_at) as usize;
        let header = match RecordHeader::decode(&self.buffer[at..]) {
            Ok(header) => header,
            Err(why) => return Ok(Found::Bad { why: why.into() }),
        };
        if header.offset != self.offset {
            return Ok(Found::Bad { why: format!("a record of offset {} stands here", header.offset) });
        }
        let whole = RECORD_HEADER as u64 + u64::from(header.length);
        if whole > left {
            return Ok(Found::Bad { why: format!("a record of {whole} bytes, of which {left} are there") });
        }
        if !self.fill(whole as usize, limit)? {
            return Ok(Found::Bad { why: "the file is shorter than it was".into() });
        }
        let at = (self.position - self.buffer_at) as usize;
        let body = at + RECORD_HEADER..at + whole as usize;
        if self.verified != self.position {
            if !RecordHeader::verify(self.segment.seed, &self.buffer[at..], &self.buffer[body.clone()]) {
                return Ok(Found::Bad { why: "checksum mismatch".into() });
            }
            self.verified = self.position;
        }
        Ok(Found::Record { header, body })
    }

    /// Goes past the record that `peek` returned.
    pub fn pass(&mut self, header: &RecordHeader) {
        self.position += RECORD_HEADER as u64 + u64::from(header.length);
        self.offset = header.end();
    }

    /// The bytes of a body that `peek` returned.
    pub fn bytes(&self, body: Range<usize>) -> &[u8] {
        &self.buffer[body]
    }

    /// A fault at the place where the scan stands.
    pub fn corrupt(&self, why: String) -> LogError {
        LogError::Corrupt { file: self.segment.path.clone(), position: self.position, offset: self.offset, why }
    }

    /// Has `need` bytes from `position` on in the buffer; false if the file ends before.
    fn fill(&mut self, need: usize, limit: u64) -> io::Result<bool> {
        let have = (self.buffer_at + self.buffer.len() as u64).saturating_sub(self.position) as usize;
        if self.position >= self.buffer_at && have >= need {
            return Ok(true);
        }
        let wanted = need.max(READ_AHEAD_BYTES).min((limit - self.position) as usize);
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() > 4 * READ_AHEAD_BYTES && wanted <= READ_AHEAD_BYTES {
            buffer = Vec::new();
        }
        let kept = if self.position >= self.buffer_at && have > 0 {
            let from = (self.position - self.buffer_at) as usize;
            buffer.copy_within(from.., 0);
            have
        } else {
            0
        };
        buffer.resize(wanted.max(kept), 0);
        let read = self.segment.file.read_at(&mut buffer[kept..], self.position + kept as u64)?;
        buffer.truncate(kept + read);
        self.buffer = buffer;
        self.buffer_at = self.position;
        Ok(self.buffer.len() >= need)
    }
}

/// The highest synced offset that any whole record of a file tells from `position` on: what stands there may be damaged,
/// so records are looked for at every byte. A record counts if its offset lies within `reach` bytes of `base`.
pub fn synced_told(
    file: &dyn SegmentFile,
    seed: u32,
    position: u64,
    base: Offset,
    reach: u64,
) -> io::Result<Option<Offset>> {
    let mut highest = None;
    let mut window = vec![0; READ_AHEAD_BYTES];
    let mut at = position;
    loop {
        let read = file.read_at(&mut window, at)?;
        if read < RECORD_MAGIC.len() {
            return Ok(highest);
        }
        for place in memchr::memmem::find_iter(&window[..read], RECORD_MAGIC) {
            if let Some(header) = whole_record(file, seed, at + place as u64)?
                && header.offset >= base
                && header.offset.bytes_since(base) <= reach
                && header.synced <= header.offset
            {
                highest = highest.max(Some(header.synced));
            }
        }
        at += (read - (RECORD_MAGIC.len() - 1)) as u64;
    }
}

fn whole_record(file: &dyn SegmentFile, seed: u32, position: u64) -> io::Result<Option<RecordHeader>> {
    let mut bytes = vec![0; RECORD_HEADER];
    let read = file.read_at(&mut bytes, position)?;
    let Ok(header) = RecordHeader::decode(&bytes[..read]) else { return Ok(None) };
    let room = file.length()?.saturating_sub(position + RECORD_HEADER as u64);
    if u64::from(header.length) > room {
        return Ok(None);
    }
    let mut body = vec![0; header.length as usize];
    let read = file.read_at(&mut body, position + RECORD_HEADER as u64)?;
    let whole = read == body.len() && RecordHeader::verify(seed, &bytes, &body);
    Ok(whole.then_some(header))
}
