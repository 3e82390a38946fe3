//! The log itself: appends, syncs, and gives up what must go. Belongs to one thread; time is passed in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::disk::{Disk, SegmentFile};
use super::loss::{Cause, Lost};
use super::record::{self, MAX_PAYLOAD, SEGMENT};
use super::recover::{self, Meta};
use super::view::{SegmentInfo, View, segment_path};

/// How long an acknowledged segment is still kept: a platform whose database fails over to a standby that lacks the last
/// commits asks again for what it had acknowledged.
pub const REPLAY_WINDOW_MS: u64 = 15 * 60 * 1_000;

/// A full disk is asked again this often, not at each result.
const RETRY_MS: u64 = 1_000;

/// Why a result isn't in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It is longer than a segment.
    #[error("a result of {found} bytes doesn't fit the spool; expected at most {MAX_PAYLOAD}")]
    TooLarge {
        /// Its length.
        found: usize,
    },
    /// It can't be written. Its number is spent: the gap says that it was there.
    #[error(
        "result {seq} is lost, it can't be written to the spool: {reason}; free some room on the disk of data_dir"
    )]
    Lost {
        /// Its number.
        seq: u64,
        /// What the file system says.
        reason: String,
    },
}

/// What happened inside, for the log and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// Results are gone.
    Lost(Lost),
    /// The end of a write was cut off; nothing that was durable is missing.
    TornEnd,
    /// A segment of another spool was set aside.
    Foreign(PathBuf),
    /// The disk failed or is full.
    DiskFailed(String),
    /// The disk takes results again.
    DiskRecovered,
    /// The platform knows more than this spool ever held: it was restored from an old copy. A new stream began.
    NewStream {
        /// The stream that ended.
        old: Uuid,
        /// Results of it that nobody has.
        abandoned: u64,
    },
}

struct Active {
    file: Arc<dyn SegmentFile>,
    /// Encoded, not yet written.
    buffer: Vec<u8>,
    /// The first and last number in `buffer`, where there is a result.
    unsynced: Option<(u64, u64)>,
}

/// A spool's log.
pub struct Log {
    folder: Arc<Path>,
    disk: Arc<dyn Disk>,
    quota: u64,
    meta: Meta,
    meta_is_stale: bool,
    segments: Vec<SegmentInfo>,
    active: Option<Active>,
    next_seq: u64,
    durable: u64,
    /// Lost and not yet in the log: written before the next result.
    unwritten: Option<Lost>,
    failed_at_ms: Option<u64>,
    incidents: Vec<Incident>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("folder", &self.folder)
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens or makes the log in `folder`, which exists.
    ///
    /// # Errors
    /// The folder or a file in it can't be read or written.
    pub fn open(folder: &Path, disk: Arc<dyn Disk>, quota: u64) -> io::Result<Self> {
        let found = recover::recover(folder)?;
        let mut incidents: Vec<Incident> = found.corrupt.iter().copied().map(Incident::Lost).collect();
        for path in found.foreign {
            std::fs::rename(&path, path.with_extension("foreign"))?;
            incidents.push(Incident::Foreign(path));
        }
        // Numbers that the meta file knows of were used, whatever became of the segments.
        let known = found
            .meta
            .losses
            .ranges()
            .last()
            .map_or(0, |lost| lost.last_seq)
            .max(found.meta.acknowledged);
        let next_seq = found.next_seq.max(known + 1);
        let mut log = Self {
            folder: Arc::from(folder),
            disk,
            quota,
            meta: found.meta,
            meta_is_stale: true,
            durable: next_seq - 1,
            next_seq,
            segments: found.segments,
            active: None,
            unwritten: None,
            failed_at_ms: None,
            incidents,
        };
        if let Some(last) = log.segments.last().copied() {
            let path = segment_path(folder, last.first_seq);
            let file = log.disk.open(&path)?;
            if found.torn {
                // What is left of a torn write must not look like a damaged record later.
                file.write_at(&vec![0; SEGMENT - last.end], last.end as u64)?;
                file.sync()?;
                log.incidents.push(Incident::TornEnd);
            }
            if last.last_seq + 1 == next_seq {
                log.active = Some(Active {
                    file,
                    buffer: Vec::new(),
                    unsynced: None,
                });
            }
        }
        log.save_meta();
        Ok(log)
    }

    /// What readers may see now.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            folder: Arc::clone(&self.folder),
            stream: self.meta.stream,
            segments: self.segments.clone(),
            losses: self.meta.losses.clone(),
            acknowledged: self.meta.acknowledged,
            durable: self.durable,
            dropped: self.meta.dropped,
            quota: self.quota,
        }
    }

    /// What happened since the last call.
    pub fn take_incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    /// Bytes that wait for a sync.
    #[must_use]
    pub fn unsynced_bytes(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.buffer.len())
    }

    /// Numbers a result and takes it; it is durable after the next [`Log::sync`] that succeeds.
    ///
    /// # Errors
    /// It can't be taken. Where the disk is at fault its number is spent, and the loss will be reported.
    pub fn append(&mut self, payload: &[u8], now_ms: u64) -> Result<u64, AppendError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(AppendError::TooLarge { found: payload.len() });
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        if let Err(error) = self.prepare(record::footprint(payload.len()), now_ms) {
            let lost = Lost {
                first_seq: seq,
                last_seq: seq,
                cause: cause_of(&error),
            };
            self.lose(lost);
            return Err(AppendError::Lost {
                seq,
                reason: error.to_string(),
            });
        }
        let seed = record::seed(self.meta.stream);
        if let Some(active) = &mut self.active {
            if let Some(lost) = self.unwritten.take() {
                record::encode_loss(&mut active.buffer, seed, &lost);
            }
            record::encode(&mut active.buffer, seed, seq, payload);
            active.unsynced = Some((active.unsynced.map_or(seq, |(first, _)| first), seq));
        }
        Ok(seq)
    }

    /// Makes an active segment with room for `bytes`, and for a loss that must be told first.
    fn prepare(&mut self, bytes: usize, now_ms: u64) -> io::Result<()> {
        // A loss's payload is 9 bytes.
        let wanted = bytes + record::footprint(9);
        if let (Some(active), Some(last)) = (&self.active, self.segments.last()) {
            if last.end + active.buffer.len() + wanted <= SEGMENT {
                return Ok(());
            }
            self.sync(now_ms)?;
        }
        if self.failed_at_ms.is_some_and(|at| now_ms.abs_diff(at) < RETRY_MS) {
            return Err(io::Error::other("the disk of the spool failed a moment ago"));
        }
        self.active = None;
        let made = self.make_segment(now_ms);
        match &made {
            Ok(()) if self.failed_at_ms.take().is_some() => self.incidents.push(Incident::DiskRecovered),
            Ok(()) => {}
            Err(error) => self.disk_failed(error, now_ms),
        }
        made
    }

    fn make_segment(&mut self, now_ms: u64) -> io::Result<()> {
        while !self.segments.is_empty() && (self.segments.len() as u64 + 1) * SEGMENT as u64 > self.quota {
            self.drop_oldest()?;
        }
        // The loss that waits comes first in the new segment.
        let first_seq = self.unwritten.map_or(self.next_seq - 1, |lost| lost.first_seq);
        let path = segment_path(&self.folder, first_seq);
        let head = record::encode_header(self.meta.stream, first_seq);
        let mut made = self.disk.create(&path, &head, SEGMENT);
        while made.is_err() && self.oldest_is_acknowledged() {
            // Room for new results is worth more than the chance to send acknowledged ones again.
            self.drop_oldest()?;
            made = self.disk.create(&path, &head, SEGMENT);
        }
        let file = made?;
        self.active = Some(Active {
            file,
            buffer: Vec::new(),
            unsynced: None,
        });
        // One that was given up before anything in it was durable had the same name, and is replaced.
        self.segments.retain(|segment| segment.first_seq != first_seq);
        let info = SegmentInfo {
            first_seq,
            last_seq: first_seq - 1,
            end: record::HEADER,
            written_ms: now_ms,
        };
        self.segments.push(info);
        Ok(())
    }

    fn oldest_is_acknowledged(&self) -> bool {
        self.segments
            .first()
            .is_some_and(|oldest| oldest.last_seq <= self.meta.acknowledged)
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.segments.first().copied() else {
            return Ok(());
        };
        let first_lost = oldest.first_seq.max(self.meta.acknowledged + 1);
        if first_lost <= oldest.last_seq {
            let lost = Lost {
                first_seq: first_lost,
                last_seq: oldest.last_seq,
                cause: Cause::Quota,
            };
            self.meta.losses.add(lost);
            self.meta.dropped += lost.count();
            self.meta_is_stale = true;
            // Told before the file goes: a power cut in between repeats the drop, it doesn't hide it.
            self.save_meta();
            self.incidents.push(Incident::Lost(lost));
        }
        match self.disk.remove(&segment_path(&self.folder, oldest.first_seq)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.segments.remove(0);
        Ok(())
    }

    fn lose(&mut self, lost: Lost) {
        let first_seq = self
            .unwritten
            .map_or(lost.first_seq, |before| before.first_seq.min(lost.first_seq));
        let cause = self.unwritten.map_or(lost.cause, |before| before.cause);
        self.unwritten = Some(Lost {
            first_seq,
            last_seq: lost.last_seq,
            cause,
        });
        self.meta.losses.add(lost);
        if lost.cause == Cause::DiskFull {
            self.meta.dropped += lost.count();
        }
        self.meta_is_stale = true;
        self.incidents.push(Incident::Lost(lost));
    }

    fn disk_failed(&mut self, error: &io::Error, now_ms: u64) {
        if self.failed_at_ms.replace(now_ms).is_none() {
            self.incidents.push(Incident::DiskFailed(error.to_string()));
        }
    }

    /// Makes everything taken so far durable.
    ///
    /// # Errors
    /// The disk failed. What was not durable yet is lost and counted; the segment is left as it is found to be.
    pub fn sync(&mut self, now_ms: u64) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let Some(last) = self.segments.last_mut() else {
            return Ok(());
        };
        if active.buffer.is_empty() {
            return Ok(());
        }
        let written = active
            .file
            .write_at(&active.buffer, last.end as u64)
            .and_then(|()| active.file.sync());
        if let Err(error) = written {
            self.abandon_active(&error, now_ms);
            return Err(error);
        }
        last.end += active.buffer.len();
        last.written_ms = now_ms;
        active.buffer.clear();
        if let Some((_, newest)) = active.unsynced.take() {
            last.last_seq = newest;
            self.durable = newest;
        }
        Ok(())
    }

    /// After a failed sync nobody knows what is on disk (the page may be marked clean and be gone): the segment ends
    /// where it was last durable, what came after is lost, and the next result opens a new one.
    fn abandon_active(&mut self, error: &io::Error, now_ms: u64) {
        let Some(active) = self.active.take() else { return };
        self.disk_failed(error, now_ms);
        if let Some(last) = self.segments.last().copied() {
            // Zeros over what may be half there, so that it isn't found again under numbers that are told as lost.
            let cleared = active
                .file
                .write_at(&vec![0; SEGMENT - last.end], last.end as u64);
            if let Err(error) = cleared.and_then(|()| active.file.sync()) {
                self.incidents.push(Incident::DiskFailed(error.to_string()));
            }
        }
        if let Some((first_seq, last_seq)) = active.unsynced {
            self.lose(Lost {
                first_seq,
                last_seq,
                cause: cause_of(error),
            });
        }
    }

    /// The platform has everything up to `seq`.
    pub fn acknowledge(&mut self, seq: u64, now_ms: u64) {
        let seq = seq.min(self.durable);
        if seq > self.meta.acknowledged {
            self.meta.acknowledged = seq;
            self.meta_is_stale = true;
        }
        self.free_acknowledged(now_ms);
    }

    /// Frees what is acknowledged and older than the replay window. The newest segment stays: it knows the last number.
    pub fn free_acknowledged(&mut self, now_ms: u64) {
        while self.segments.len() > 1 && self.oldest_is_acknowledged() {
            let written_ms = self.segments[0].written_ms;
            if now_ms.saturating_sub(written_ms) < REPLAY_WINDOW_MS {
                return;
            }
            if let Err(error) = self.drop_oldest() {
                self.incidents.push(Incident::DiskFailed(error.to_string()));
                return;
            }
        }
    }

    /// Begins a new stream: the platform has committed `seq` of this one, which never got that far here.
    ///
    /// What is held under the old stream's numbers can't be told from what the platform already has, so it is let go
    /// and counted.
    ///
    /// # Errors
    /// The old segments can't be removed; nothing has changed then.
    pub fn begin_new_stream(&mut self) -> io::Result<()> {
        let old = self.meta.stream;
        let abandoned = self.next_seq - 1 - self.meta.acknowledged.min(self.next_seq - 1);
        let meta = Meta {
            stream: Uuid::new_v4(),
            ..Meta::default()
        };
        self.disk
            .replace(&recover::meta_path(&self.folder), &encode_meta(&meta)?)?;
        for segment in std::mem::take(&mut self.segments) {
            // One that stays is set aside as foreign at the next start.
            let _ = self.disk.remove(&segment_path(&self.folder, segment.first_seq));
        }
        self.meta = meta;
        self.active = None;
        self.unwritten = None;
        self.next_seq = 1;
        self.durable = 0;
        self.incidents.push(Incident::NewStream { old, abandoned });
        Ok(())
    }

    /// Writes down what is worth remembering; a failure is tried again at the next call.
    pub fn save_meta(&mut self) {
        if !self.meta_is_stale {
            return;
        }
        let saved = encode_meta(&self.meta)
            .and_then(|text| self.disk.replace(&recover::meta_path(&self.folder), &text));
        match saved {
            Ok(()) => self.meta_is_stale = false,
            Err(error) => self.incidents.push(Incident::DiskFailed(error.to_string())),
        }
    }
}

fn encode_meta(meta: &Meta) -> io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(meta).map_err(io::Error::other)
}

fn cause_of(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Other => Cause::DiskFull,
        _ => Cause::Corruption,
    }
}

#[cfg(test)]
mod tests;
