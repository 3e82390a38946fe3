//! Opening sealed batches again, to show what is inside. They were verified when they came in; the limits are kept here
//! too, because what was let in under one version's limits is read under another's.

use picket_proto::agent::v1::{BatchHeader, BatchPayload, CheckResult, FailureClass, Status};
use prost::Message as _;

use crate::clock::UnixMs;

/// The largest opened payload that is read.
pub const MAX_OPENED: usize = 16 * 1024 * 1024;

/// A row of `sample_chunk`, as far as showing it needs.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The spool's life that it belongs to.
    pub stream: String,
    /// The sequence number of the first result inside.
    pub first_seq: u64,
    /// A serialised `BatchHeader`.
    pub header: Vec<u8>,
    /// The compressed `BatchPayload`.
    pub payload: Vec<u8>,
    /// When the platform committed it.
    pub received_at: UnixMs,
}

/// A result, and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The spool's life.
    pub stream: String,
    /// Its number there.
    pub seq: u64,
    /// When the platform committed it.
    pub received_at: UnixMs,
    /// The result.
    pub result: CheckResult,
}

/// Why a stored chunk can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// Header or payload isn't what it should be.
    #[error("the chunk isn't the protobuf message that is expected: {0}")]
    Format(#[from] prost::DecodeError),
    /// It says that it is larger than is read.
    #[error("the chunk declares {got} bytes opened, at most {expected} are read")]
    TooLarge {
        /// The most that is read.
        expected: usize,
        /// What the header declares.
        got: u64,
    },
    /// It doesn't open, or is larger than its header says.
    #[error("the chunk doesn't open to the {declared} bytes that it declares: {source}")]
    Compression {
        /// What the header declares.
        declared: usize,
        /// What the decompressor said.
        source: std::io::Error,
    },
}

/// Opens chunks, one decompression context for all.
pub struct Opener(zstd::bulk::Decompressor<'static>);

impl Opener {
    /// A new context.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?))
    }

    /// The results of `check` inside, in their order, and how many bytes were opened.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn results_of(&mut self, sealed: &Sealed, check: &str) -> Result<(Vec<Stored>, usize), ChunkError> {
        let header = BatchHeader::decode(sealed.header.as_slice())?;
        let declared = usize::try_from(header.opened_size)
            .ok()
            .filter(|size| *size <= MAX_OPENED)
            .ok_or(ChunkError::TooLarge {
                expected: MAX_OPENED,
                got: header.opened_size,
            })?;
        let opened = self
            .0
            .decompress(&sealed.payload, declared)
            .map_err(|source| ChunkError::Compression { declared, source })?;
        let size = opened.len();
        let payload = BatchPayload::decode(opened.as_slice())?;
        let results = (sealed.first_seq..)
            .zip(payload.results)
            .filter(|(_, result)| result.check == check)
            .map(|(seq, result)| Stored {
                stream: sealed.stream.clone(),
                seq,
                received_at: sealed.received_at,
                result,
            })
            .collect();
        Ok((results, size))
    }
}

/// The word for a status, as the database and the API have it.
#[must_use]
pub fn status_word(status: i32) -> &'static str {
    match Status::try_from(status) {
        Ok(Status::Ok) => "ok",
        Ok(Status::Warning) => "warning",
        Ok(Status::Critical) => "critical",
        _ => "unknown",
    }
}

/// The word for why a run gave no report; empty where it gave one.
#[must_use]
pub fn failure_word(failure: i32) -> &'static str {
    FailureClass::try_from(failure).map_or("other", crate::ingest::state::failure_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &BatchPayload, opened_size: u64) -> Sealed {
        let opened = payload.encode_to_vec();
        Sealed {
            stream: "s1".into(),
            first_seq: 7,
            header: BatchHeader {
                opened_size,
                ..BatchHeader::default()
            }
            .encode_to_vec(),
            payload: zstd::bulk::compress(&opened, 3).unwrap(),
            received_at: 1,
        }
    }

    fn payload() -> BatchPayload {
        let result = |check: &str| CheckResult {
            check: check.into(),
            ..CheckResult::default()
        };
        BatchPayload {
            results: vec![result("web"), result("disk"), result("web")],
        }
    }

    #[test]
    fn results_keep_their_sequence_numbers() {
        let size = payload().encoded_len() as u64;
        let (results, _) = Opener::new()
            .unwrap()
            .results_of(&sealed(&payload(), size), "web")
            .unwrap();
        assert_eq!(
            results.iter().map(|stored| stored.seq).collect::<Vec<_>>(),
            [7, 9]
        );
    }

    #[test]
    fn refuses_a_chunk_that_opens_to_more_than_it_declares() {
        let error = Opener::new()
            .unwrap()
            .results_of(&sealed(&payload(), 3), "web")
            .unwrap_err();
        assert!(
            matches!(error, ChunkError::Compression { declared: 3, .. }),
            "{error}"
        );
    }

    #[test]
    fn refuses_a_chunk_that_declares_more_than_is_read() {
        let error = Opener::new()
            .unwrap()
            .results_of(&sealed(&payload(), u64::MAX), "web")
            .unwrap_err();
        assert!(matches!(error, ChunkError::TooLarge { .. }), "{error}");
    }
}
