//! What readers see of a spool: a snapshot of what is durable. Reading takes no lock and waits for no writer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::loss::{Losses, Lost};
use super::record::{self, Entry, Walk};

/// One segment, as far as it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The first number that it may hold; its file's name.
    pub first_seq: u64,
    /// The last number that it holds; `first_seq - 1` where it is empty.
    pub last_seq: u64,
    /// Where the next record goes.
    pub end: usize,
    /// When it was last written to, in ms since 1970.
    pub written_ms: u64,
}

/// A snapshot of a spool.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) folder: Arc<Path>,
    pub(super) stream: Uuid,
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) losses: Losses,
    pub(super) acknowledged: u64,
    pub(super) durable: u64,
    pub(super) dropped: u64,
    pub(super) quota: u64,
}

/// Results in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The first one's number.
    pub first_seq: u64,
    /// One after the other.
    pub payloads: Vec<Vec<u8>>,
    /// What is gone between the cursor and `first_seq`.
    pub lost: Vec<Lost>,
}

impl Run {
    /// The last one's number.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.first_seq + self.payloads.len() as u64 - 1
    }
}

/// The file of a segment.
pub(super) fn segment_path(folder: &Path, first_seq: u64) -> PathBuf {
    folder.join(format!("{first_seq:020}.seg"))
}

impl View {
    /// Names this life of the spool.
    #[must_use]
    pub fn stream(&self) -> Uuid {
        self.stream
    }

    /// The newest durable number; 0 where there never was one.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.durable
    }

    /// The oldest number that is held; 0 where nothing is.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.segments
            .iter()
            .find(|segment| segment.last_seq >= segment.first_seq)
            .map_or(0, |segment| segment.first_seq)
    }

    /// Up to where everything is acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.segments.len() * record::SEGMENT) as u64
    }

    /// Bytes that it may have.
    #[must_use]
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// Results dropped for want of room in the life of this stream.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The losses that are known.
    #[must_use]
    pub fn losses(&self) -> &[Lost] {
        self.losses.ranges()
    }

    /// Results after `cursor`, in a row, of at most `max_bytes` in all but at least one; `None` where there are none.
    ///
    /// # Errors
    /// A segment can't be read. [`io::ErrorKind::NotFound`] means that this snapshot is too old: take a newer one.
    pub fn read(&self, cursor: u64, max_bytes: usize) -> io::Result<Option<Run>> {
        let mut run = Run::default();
        let mut bytes = 0;
        for segment in self.segments.iter().filter(|segment| segment.last_seq > cursor) {
            let content = std::fs::read(segment_path(&self.folder, segment.first_seq))?;
            let content = content.get(..segment.end).unwrap_or(&content);
            let walk = Walk::new(
                content,
                record::seed(self.stream),
                record::HEADER,
                segment.first_seq,
            );
            for record in walk {
                let Entry::Result(payload) = record.entry else {
                    continue;
                };
                if record.seq <= cursor {
                    continue;
                }
                if run.payloads.is_empty() {
                    run.first_seq = record.seq;
                } else if record.seq != run.last_seq() + 1 || bytes + payload.len() > max_bytes {
                    return Ok(Some(self.explained(run, cursor)));
                }
                bytes += payload.len();
                run.payloads.push(payload.to_vec());
            }
        }
        Ok((!run.payloads.is_empty()).then(|| self.explained(run, cursor)))
    }

    fn explained(&self, mut run: Run, cursor: u64) -> Run {
        let known = self.acknowledged;
        run.lost = self.losses.explain(cursor + 1, run.first_seq - 1, known);
        run
    }
}
