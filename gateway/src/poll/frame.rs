//! The frame of a sealed batch: all of it that a gateway opens. Pure.
//!
//! The payload, its digest and the signature are the platform's to check. What the gateway alone knows is whom it
//! verified at the other end of the connection; a batch that names anybody else goes no further.

use picket_identity::spiffe::SpiffeId;
use picket_identity::verify::Reason;
use picket_proto::agent::v1::{BatchHeader, SealedBatch};
use prost::Message as _;

use crate::reachability::Cause;

/// Room beside the payload for a header and a signature.
pub(crate) const FRAME_ROOM: usize = 64 * 1024;

/// What the frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The stream that the results are from.
    pub(super) stream: String,
    /// The last of them.
    pub(super) last_seq: u64,
    /// How many there are.
    pub(super) results: u64,
    /// The batch's bytes on the wire, without framing.
    pub(super) bytes: usize,
}

/// Why a batch goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is of another tenant than the verified agent.
    #[error("the batch is of tenant `{got}`, expected `{expected}`, whose certificate the peer showed")]
    WrongTenant {
        /// The verified agent's tenant.
        expected: String,
        /// The one in the header.
        got: String,
    },
    /// It is of the same tenant's other agent, or of nobody who could seal one.
    #[error("the batch is by `{got}`, expected `{expected}`, whose certificate the peer showed")]
    WrongAgent {
        /// The verified agent's SPIFFE ID.
        expected: String,
        /// The one in the header, shortened.
        got: String,
    },
    /// It isn't a batch.
    #[error("the batch is malformed: {0}")]
    Malformed(String),
}

impl FrameError {
    /// What it makes of the agent that sent it.
    pub const fn cause(&self) -> Cause {
        match self {
            Self::WrongTenant { .. } => Cause::Identity(Reason::WrongTenant),
            Self::WrongAgent { .. } => Cause::Identity(Reason::WrongAgent),
            Self::Malformed(_) => Cause::Protocol,
        }
    }

    /// The identity verifier's word for it, or `protocol`.
    pub const fn reason(&self) -> &'static str {
        self.cause().as_str()
    }
}

/// Checks a batch that the verified agent `from` sent; `max_payload` is what the gateway asked for at most.
pub(super) fn check(batch: &SealedBatch, from: &SpiffeId, max_payload: usize) -> Result<Frame, FrameError> {
    let malformed = |problem: String| Err(FrameError::Malformed(problem));
    if batch.payload.len() > max_payload {
        return malformed(format!(
            "its payload is {} bytes, at most {max_payload} were asked for",
            batch.payload.len()
        ));
    }
    if batch.header.len() + batch.signature.len() > FRAME_ROOM {
        return malformed(format!(
            "header and signature are {} bytes, expected at most {FRAME_ROOM}",
            batch.header.len() + batch.signature.len()
        ));
    }
    let header = match BatchHeader::decode(batch.header.clone()) {
        Ok(header) => header,
        Err(error) => return malformed(format!("its header doesn't decode: {error}")),
    };
    check_sealer(&header.spiffe_id, from)?;
    if header.stream.is_empty() {
        return malformed("it names no stream".to_owned());
    }
    let Some(results) = header
        .last_seq
        .checked_sub(header.first_seq)
        .and_then(|more| more.checked_add(1))
        .filter(|_| header.first_seq > 0)
    else {
        return malformed(format!(
            "it goes from sequence number {} to {}",
            header.first_seq, header.last_seq
        ));
    };
    Ok(Frame {
        stream: header.stream,
        last_seq: header.last_seq,
        results,
        bytes: batch.header.len() + batch.payload.len() + batch.signature.len(),
    })
}

fn check_sealer(sealer: &str, verified: &SpiffeId) -> Result<(), FrameError> {
    let expected = verified.to_string();
    // The bytes are compared, not what they parse to: exactly one text stands for each identity.
    if sealer == expected {
        return Ok(());
    }
    let got_tenant = sealer
        .parse::<SpiffeId>()
        .ok()
        .and_then(|sealer| sealer.tenant().cloned());
    match (verified.tenant(), got_tenant) {
        (Some(expected), Some(got)) if *expected != got => Err(FrameError::WrongTenant {
            expected: expected.to_string(),
            got: got.to_string(),
        }),
        _ => Err(FrameError::WrongAgent {
            expected,
            got: sealer.chars().take(120).flat_map(char::escape_default).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1024;

    fn verified() -> SpiffeId {
        "spiffe://acme.picket.example/agent/berlin-1".parse().unwrap()
    }

    fn header(spiffe_id: &str) -> BatchHeader {
        BatchHeader {
            spiffe_id: spiffe_id.to_owned(),
            stream: "s1".to_owned(),
            first_seq: 5,
            last_seq: 9,
            ..Default::default()
        }
    }

    fn sealed(header: &BatchHeader) -> SealedBatch {
        SealedBatch {
            header: header.encode_to_vec().into(),
            payload: vec![0; 10].into(),
            signature: vec![1; 70].into(),
        }
    }

    #[test]
    fn passes_a_batch_of_the_verified_agent() {
        let batch = sealed(&header("spiffe://acme.picket.example/agent/berlin-1"));
        let frame = check(&batch, &verified(), MAX).unwrap();
        assert_eq!(
            (frame.stream.as_str(), frame.last_seq, frame.results),
            ("s1", 9, 5)
        );
    }

    #[test]
    fn refuses_a_batch_of_another_tenant() {
        let batch = sealed(&header("spiffe://globex.picket.example/agent/berlin-1"));
        let error = check(&batch, &verified(), MAX).unwrap_err();
        assert_eq!(error.reason(), "wrong_tenant");
        assert!(error.to_string().contains("globex") && error.to_string().contains("acme"));
    }

    #[test]
    fn refuses_a_batch_of_another_agent_of_the_tenant() {
        let batch = sealed(&header("spiffe://acme.picket.example/agent/berlin-2"));
        assert_eq!(
            check(&batch, &verified(), MAX).unwrap_err().reason(),
            "wrong_agent"
        );
    }

    #[test]
    fn refuses_every_spelling_but_the_exact_one() {
        for id in [
            "",
            "spiffe://acme.picket.example/agent/berlin-1/",
            "spiffe://ACME.picket.example/agent/berlin-1",
            "SPIFFE://acme.picket.example/agent/berlin-1",
            "spiffe://acme.picket.example:1/agent/berlin-1",
            "spiffe://acme.picket.example/agent/berlin-1?x",
            "spiffe://acme.picket.example//agent/berlin-1",
        ] {
            assert!(check(&sealed(&header(id)), &verified(), MAX).is_err(), "{id}");
        }
    }

    #[test]
    fn refuses_a_payload_that_is_larger_than_was_asked_for() {
        let mut batch = sealed(&header("spiffe://acme.picket.example/agent/berlin-1"));
        batch.payload = vec![0; MAX + 1].into();
        assert_eq!(check(&batch, &verified(), MAX).unwrap_err().reason(), "protocol");
    }

    #[test]
    fn refuses_sequence_numbers_that_go_backwards_or_from_zero() {
        for (first_seq, last_seq) in [(5, 4), (0, 0), (0, u64::MAX)] {
            let batch = sealed(&BatchHeader {
                first_seq,
                last_seq,
                ..header("spiffe://acme.picket.example/agent/berlin-1")
            });
            assert!(check(&batch, &verified(), MAX).is_err(), "{first_seq}-{last_seq}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_header(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            let batch = SealedBatch { header: header.into(), ..Default::default() };
            let _ = check(&batch, &verified(), MAX);
        }
    }
}
