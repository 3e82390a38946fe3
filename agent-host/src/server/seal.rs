//! Results as a sealed batch: compressed, described, signed.

use aws_lc_rs::digest::{SHA256, digest};
use picket_identity::bundle::Identity;
use picket_identity::credential::CredentialError;
use picket_proto::agent::v1::{BatchHeader, Codec, SealedBatch};
use prost::Message;
use uuid::Uuid;

use crate::spool::Run;

/// What batches are signed for. The platform verifies with the same words.
pub const CONTEXT: &[u8] = b"picket-batch-1";

/// Results are small and alike; more effort than this gains little and costs CPU on a customer's machine.
const LEVEL: i32 = 3;

/// The field number of `BatchPayload.results`, length-delimited.
const RESULTS_TAG: u8 = (1 << 3) | 2;

/// Why a batch can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The compressor failed.
    #[error("results can't be compressed: {0}")]
    Compress(#[from] std::io::Error),
    /// The key didn't sign.
    #[error("a batch can't be signed: {0}")]
    Sign(#[from] CredentialError),
}

/// Seals results under an identity.
///
/// # Errors
/// Compressing or signing failed.
pub fn seal(run: &Run, stream: Uuid, identity: &Identity, now_ms: u64) -> Result<SealedBatch, SealError> {
    let opened = payload(run);
    let payload = zstd::bulk::compress(&opened, LEVEL)?;
    let header = BatchHeader {
        spiffe_id: identity.id().to_string(),
        stream: stream.to_string(),
        first_seq: run.first_seq,
        last_seq: run.last_seq(),
        codec: Codec::Zstd.into(),
        opened_size: opened.len() as u64,
        payload_sha256: digest(&SHA256, &payload).as_ref().to_vec().into(),
        sealed_at_unix_ms: now_ms,
        certificate_serial: identity.verified().serial().to_string(),
        lost: run.lost.iter().copied().map(Into::into).collect(),
    };
    let header = header.encode_to_vec();
    let signature = identity.credential().key().sign(CONTEXT, &header)?;
    Ok(SealedBatch {
        header: header.into(),
        payload: payload.into(),
        signature: signature.into(),
    })
}

/// A serialised `BatchPayload`. The results lie in the spool as they stand in it, so they needn't be decoded.
fn payload(run: &Run) -> Vec<u8> {
    // A tag and a length of at most 4 bytes each.
    let mut bytes = Vec::with_capacity(run.payloads.iter().map(|result| result.len() + 5).sum());
    for result in &run.payloads {
        bytes.push(RESULTS_TAG);
        prost::encoding::encode_varint(result.len() as u64, &mut bytes);
        bytes.extend_from_slice(result);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use picket_proto::agent::v1::{BatchPayload, CheckResult};

    use super::*;

    #[test]
    fn the_payload_is_what_prost_would_have_made() {
        let results: Vec<_> = (0..5)
            .map(|n| CheckResult {
                check: format!("check-{n}"),
                summary: "x".repeat(n * 100),
                ..CheckResult::default()
            })
            .collect();
        let run = Run {
            first_seq: 1,
            payloads: results.iter().map(Message::encode_to_vec).collect(),
            ..Run::default()
        };
        assert_eq!(payload(&run), BatchPayload { results }.encode_to_vec());
    }
}
