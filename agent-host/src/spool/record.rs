//! How records lie in a segment, and how a segment is read back after anything happened to it. No files here: bytes in,
//! bytes out.
//!
//! A segment is a header of [`HEADER`] bytes and then records, each aligned to 8 bytes: `len` (its highest bit marks a
//! loss), CRC-32C over everything else of the record, `seq`, payload. Zeros follow the last record: segments are zeroed
//! when they are made, so a torn write is told from an old record. The CRC starts from the stream's random name, which
//! no checker knows: what a checker prints can't pass for a record, and neither can a record of another stream.

use uuid::Uuid;

use super::loss::{Cause, Lost};

/// Bytes of a segment's header: magic, stream, first sequence number, CRC-32C, zeros.
pub const HEADER: usize = 64;
/// Bytes before a record's payload.
pub const RECORD_HEADER: usize = 16;
/// Bytes of a segment. Large enough that a sync is rarely for a new file, small enough to give back room in steps.
pub const SEGMENT: usize = 1 << 20;
/// The longest payload.
pub const MAX_PAYLOAD: usize = SEGMENT - HEADER - RECORD_HEADER - ALIGN;

const ALIGN: usize = 8;
const MAGIC: &[u8; 8] = b"pcktspl1";
const LOSS_BIT: u32 = 1 << 31;

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A result.
    Result(&'a [u8]),
    /// Results that could not be written: from `first_seq` to the record's own number.
    Lost {
        /// The first one.
        first_seq: u64,
        /// Why.
        cause: Cause,
    },
}

/// A record in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number; of a loss, the last one that is lost.
    pub seq: u64,
    /// What it holds.
    pub entry: Entry<'a>,
    /// Where it starts in the segment.
    pub offset: usize,
    /// Where the next one starts.
    pub end: usize,
}

/// The bytes that a payload of this length takes in a segment.
#[must_use]
pub const fn footprint(payload: usize) -> usize {
    (RECORD_HEADER + payload).next_multiple_of(ALIGN)
}

/// Where the checksums of a stream's records start.
#[must_use]
pub fn seed(stream: Uuid) -> u32 {
    crc32c::crc32c(stream.as_bytes())
}

/// Appends a result's record. The payload is at most [`MAX_PAYLOAD`] long.
pub fn encode(out: &mut Vec<u8>, seed: u32, seq: u64, payload: &[u8]) {
    encode_raw(out, seed, seq, payload, 0);
}

/// Appends the record of a loss.
pub fn encode_loss(out: &mut Vec<u8>, seed: u32, lost: &Lost) {
    let mut payload = [0; 9];
    payload[..8].copy_from_slice(&lost.first_seq.to_le_bytes());
    payload[8] = lost.cause.code();
    encode_raw(out, seed, lost.last_seq, &payload, LOSS_BIT);
}

fn encode_raw(out: &mut Vec<u8>, seed: u32, seq: u64, payload: &[u8], flag: u32) {
    let start = out.len();
    let len = (payload.len() as u32) | flag;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(seed, len, seq, payload).to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + footprint(payload.len()), 0);
}

fn checksum(seed: u32, len: u32, seq: u64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &seq.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

/// The header of a new segment.
#[must_use]
pub fn encode_header(stream: Uuid, first_seq: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..24].copy_from_slice(stream.as_bytes());
    header[24..32].copy_from_slice(&first_seq.to_le_bytes());
    let crc = crc32c::crc32c(&header[..32]);
    header[32..36].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads a segment's header: its stream and first sequence number; `None` where it is no header.
#[must_use]
pub fn decode_header(segment: &[u8]) -> Option<(Uuid, u64)> {
    let header = segment.get(..HEADER)?;
    let crc = u32::from_le_bytes(header[32..36].try_into().ok()?);
    if &header[..8] != MAGIC || crc32c::crc32c(&header[..32]) != crc {
        return None;
    }
    let stream = Uuid::from_slice(&header[8..24]).ok()?;
    Some((stream, u64::from_le_bytes(header[24..32].try_into().ok()?)))
}

/// Reads the record at `offset`; `None` where there is none that is whole.
#[must_use]
pub fn decode(segment: &[u8], seed: u32, offset: usize) -> Option<Record<'_>> {
    let header = segment.get(offset..offset.checked_add(RECORD_HEADER)?)?;
    let len = u32::from_le_bytes(header[..4].try_into().ok()?);
    let crc = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let seq = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let is_loss = len & LOSS_BIT != 0;
    let size = (len & !LOSS_BIT) as usize;
    if seq == 0 || size > MAX_PAYLOAD {
        return None;
    }
    let start = offset + RECORD_HEADER;
    let payload = segment.get(start..start + size)?;
    if checksum(seed, len, seq, payload) != crc {
        return None;
    }
    let entry = if is_loss {
        let first_seq = u64::from_le_bytes(payload.get(..8)?.try_into().ok()?);
        let cause = Cause::from_code(*payload.get(8)?)?;
        if first_seq == 0 || first_seq > seq {
            return None;
        }
        Entry::Lost { first_seq, cause }
    } else {
        Entry::Result(payload)
    };
    Some(Record {
        seq,
        entry,
        offset,
        end: offset + footprint(size),
    })
}

/// Walks through a segment's records and reports what is missing between them.
#[derive(Debug)]
pub struct Walk<'a> {
    segment: &'a [u8],
    seed: u32,
    offset: usize,
    next_seq: u64,
    lost: Vec<Lost>,
}

impl<'a> Walk<'a> {
    /// From `offset` on, where `next_seq` is expected.
    #[must_use]
    pub fn new(segment: &'a [u8], seed: u32, offset: usize, next_seq: u64) -> Self {
        Self {
            segment,
            seed,
            offset,
            next_seq,
            lost: Vec::new(),
        }
    }

    /// Where the next record would be.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The number that would follow.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What was found to be missing, so far.
    #[must_use]
    pub fn into_lost(self) -> Vec<Lost> {
        self.lost
    }

    /// The first whole record at or after `from` that can follow. Records are aligned: few places need a look, and zeros
    /// are passed over quickly.
    fn whole_record(&self, from: usize) -> Option<Record<'a>> {
        let mut offset = from;
        while offset + RECORD_HEADER <= self.segment.len() {
            if self.segment[offset..offset + RECORD_HEADER]
                .iter()
                .any(|&byte| byte != 0)
                && let Some(record) = decode(self.segment, self.seed, offset)
                && record.seq >= self.next_seq
            {
                return Some(record);
            }
            offset += ALIGN;
        }
        None
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.whole_record(self.offset)?;
        let starts = match record.entry {
            Entry::Result(_) => record.seq,
            Entry::Lost { first_seq, .. } => first_seq.max(self.next_seq),
        };
        if starts > self.next_seq {
            // A good record after a bad one: not the torn end of a write.
            self.lost.push(Lost {
                first_seq: self.next_seq,
                last_seq: starts - 1,
                cause: Cause::Corruption,
            });
        }
        if let Entry::Lost { cause, .. } = record.entry {
            self.lost.push(Lost {
                first_seq: starts,
                last_seq: record.seq,
                cause,
            });
        }
        self.offset = record.end;
        self.next_seq = record.seq + 1;
        Some(record)
    }
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
