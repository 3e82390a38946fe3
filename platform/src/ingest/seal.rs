//! Is a batch what it claims to be? The order matters: nothing is decompressed before the signature over its declared
//! size and digest has been verified, and nothing is ever decompressed past a hard limit.

use std::io::Read as _;

use aws_lc_rs::digest::{SHA256, digest};
use picket_identity::credential::{CredentialError, verify_signature};
use picket_identity::name::CheckName;
use picket_proto::agent::v1::{BatchHeader, BatchPayload, CheckResult, Codec, SealedBatch};
use prost::Message as _;

/// What is signed begins with this, so that a signature over a batch is never one over anything else.
pub const CONTEXT: &[u8] = b"picket-batch-1";

/// The largest header. It has at most [`MAX_LOST`] ranges of some 20 bytes.
pub const MAX_HEADER: usize = 64 * 1024;

/// The largest payload as it travels.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// The largest payload once it is opened. A result has at most some 100 KiB; usual ones have 200 bytes.
pub const MAX_OPENED: u64 = 8 * 1024 * 1024;

/// The most ranges of lost results in one batch.
pub const MAX_LOST: usize = 2_000;

/// The longest name of a stream.
const MAX_STREAM: usize = 64;

/// The largest window that opening may use (zstd's log2): as large as what may come out.
const MAX_WINDOW_LOG: u32 = 23;

/// Opened sizes above this are opened on a thread of their own: below, handing over costs more than the work.
const INLINE: u64 = 128 * 1024;

/// Why a batch isn't what it claims to be.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A part is larger than it may be.
    #[error("its {part} has {found} bytes; at most {expected} are taken")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// The limit.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A part can't be read.
    #[error("its {part} can't be read: {reason}")]
    Unreadable {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The header contradicts itself.
    #[error("its header is wrong: {0}")]
    Header(String),
    /// The bytes aren't those that were signed.
    #[error("its payload isn't the one that was sealed: the digests differ")]
    Digest,
    /// Somebody else signed, or the header was changed.
    #[error("its signature is not by the agent's certificate {serial}: {source}")]
    Signature {
        /// The certificate that the header names.
        serial: String,
        /// What the verifier said.
        source: CredentialError,
    },
    /// It opens to another size than was declared.
    #[error("its payload opens to {found} bytes where {expected} were declared")]
    Size {
        /// What was declared.
        expected: u64,
        /// What came out; reading stops one byte past the declaration.
        found: u64,
    },
    /// It holds another number of results than its sequence numbers say.
    #[error("it holds {found} results where its sequence numbers say {expected}")]
    Count {
        /// By its sequence numbers.
        expected: u64,
        /// Inside.
        found: u64,
    },
    /// A result can't be one.
    #[error("its result {seq} is wrong: {reason}")]
    Result {
        /// Its sequence number.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// The work was cut off.
    #[error("it could not be opened: {0}")]
    Interrupted(String),
}

/// A batch that is what it claims to be.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its header.
    pub header: BatchHeader,
    /// Its results: the first has [`BatchHeader::first_seq`].
    pub results: Vec<CheckResult>,
}

/// Reads a batch's header. Nothing in it is to be believed before [`verify_and_open`].
///
/// # Errors
/// [`SealError`].
pub fn header(batch: &SealedBatch) -> Result<BatchHeader, SealError> {
    limit("header", batch.header.len() as u64, MAX_HEADER as u64)?;
    limit("payload", batch.payload.len() as u64, MAX_PAYLOAD as u64)?;
    let header = BatchHeader::decode(batch.header.clone()).map_err(|error| SealError::Unreadable {
        part: "header",
        reason: error.to_string(),
    })?;
    limit("opened payload", header.opened_size, MAX_OPENED)?;
    if header.codec() != Codec::Zstd {
        return Err(SealError::Header(format!(
            "codec {} where zstd is expected",
            header.codec
        )));
    }
    let stream_is_sound = (1..=MAX_STREAM).contains(&header.stream.len())
        && header.stream.bytes().all(|byte| byte.is_ascii_graphic());
    if !stream_is_sound {
        return Err(SealError::Header(
            "a stream is named by 1 to 64 printable characters".to_owned(),
        ));
    }
    let in_order = header.first_seq >= 1
        && header.first_seq <= header.last_seq
        && i64::try_from(header.last_seq).is_ok();
    if !in_order {
        return Err(SealError::Header(format!(
            "sequence numbers {} to {}",
            header.first_seq, header.last_seq
        )));
    }
    if header.lost.len() > MAX_LOST {
        return Err(SealError::Header(format!(
            "{} lost ranges; at most {MAX_LOST} are taken",
            header.lost.len()
        )));
    }
    Ok(header)
}

fn limit(part: &'static str, found: u64, expected: u64) -> Result<(), SealError> {
    if found <= expected {
        Ok(())
    } else {
        Err(SealError::TooLarge {
            part,
            expected,
            found,
        })
    }
}

/// Verifies a batch by the certificate that its header names, and opens it.
///
/// # Errors
/// [`SealError`].
pub async fn verify_and_open(
    batch: SealedBatch,
    header: BatchHeader,
    certificate: Vec<u8>,
) -> Result<Opened, SealError> {
    verify(&batch, &header, &certificate)?;
    if header.opened_size <= INLINE {
        return open(&batch.payload, header);
    }
    tokio::task::spawn_blocking(move || open(&batch.payload, header))
        .await
        .unwrap_or_else(|error| Err(SealError::Interrupted(error.to_string())))
}

/// Verifies a batch's signature and digest by the certificate (DER) that its header names.
///
/// # Errors
/// [`SealError`].
pub fn verify(batch: &SealedBatch, header: &BatchHeader, certificate: &[u8]) -> Result<(), SealError> {
    verify_signature(&certificate.into(), CONTEXT, &batch.header, &batch.signature).map_err(|source| {
        SealError::Signature {
            serial: header.certificate_serial.clone(),
            source,
        }
    })?;
    if digest(&SHA256, &batch.payload).as_ref() != header.payload_sha256 {
        return Err(SealError::Digest);
    }
    Ok(())
}

/// Opens a verified payload.
///
/// # Errors
/// [`SealError`].
pub fn open(payload: &[u8], header: BatchHeader) -> Result<Opened, SealError> {
    let bytes = decompress(payload, header.opened_size)?;
    let results = BatchPayload::decode(bytes.as_slice())
        .map_err(|error| SealError::Unreadable {
            part: "payload",
            reason: error.to_string(),
        })?
        .results;
    let expected = header.last_seq - header.first_seq + 1;
    if results.len() as u64 != expected {
        return Err(SealError::Count {
            expected,
            found: results.len() as u64,
        });
    }
    for (seq, result) in (header.first_seq..).zip(&results) {
        result
            .check
            .parse::<CheckName>()
            .map_err(|error| SealError::Result {
                seq,
                reason: error.to_string(),
            })?;
        let times = [result.started_at_unix_ms, result.interval_ms];
        if times.iter().any(|time| i64::try_from(*time).is_err()) {
            return Err(SealError::Result {
                seq,
                reason: "a time is beyond every calendar".to_owned(),
            });
        }
    }
    Ok(Opened { header, results })
}

/// Decompresses to exactly `declared` bytes, which is below [`MAX_OPENED`].
fn decompress(payload: &[u8], declared: u64) -> Result<Vec<u8>, SealError> {
    let unreadable = |error: std::io::Error| SealError::Unreadable {
        part: "payload",
        reason: error.to_string(),
    };
    limit("opened payload", declared, MAX_OPENED)?;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload).map_err(unreadable)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
    // Grown as it comes: what is only declared costs no memory.
    let mut bytes = Vec::new();
    decoder
        .take(declared + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let found = bytes.len() as u64;
    if found != declared {
        return Err(SealError::Size {
            expected: declared,
            found,
        });
    }
    Ok(bytes)
}
