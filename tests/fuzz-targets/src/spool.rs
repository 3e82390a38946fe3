//! The agent's spool: segments as they may lie on a disk, and the results in them.

use picket_agent_host::spool::Lost;
use picket_agent_host::spool::record::{self, Entry, HEADER, MAX_PAYLOAD, RECORD_HEADER, SEGMENT, Walk};
use picket_proto::agent::v1::{BatchHeader, BatchPayload, CheckResult, SealedBatch};
use prost::Message as _;
use uuid::Uuid;

/// A segment of a known stream, which damage may have hit anywhere. The first byte says what the rest is.
pub fn spool(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => read_back(rest),
        1 => written_then_damaged(rest),
        _ => decode_results(rest),
    }
}

fn read_back(segment: &[u8]) {
    let segment = &segment[..segment.len().min(SEGMENT)];
    let (stream, first_seq) = record::decode_header(segment).unwrap_or((Uuid::nil(), 1));
    walk(segment, stream, HEADER.min(segment.len()), first_seq);
}

/// Records of the input's making, whole: all come back. Then with the input's damage: nothing comes back that wasn't
/// written.
fn written_then_damaged(input: &[u8]) {
    let stream = Uuid::from_u128(7);
    let seed = record::seed(stream);
    let mut segment = record::encode_header(stream, 1).to_vec();
    let mut written = Vec::new();
    for (seq, payload) in (1..).zip(input.chunks(37)) {
        record::encode(&mut segment, seed, seq, payload);
        written.push(payload);
    }
    assert_eq!(record::decode_header(&segment), Some((stream, 1)));
    let found = walk(&segment, stream, HEADER, 1);
    assert_eq!(found, written, "what was written comes back");

    for change in input.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % segment.len();
        segment[at] ^= change[2];
    }
    let cut = input.first().map_or(0, |byte| usize::from(*byte));
    segment.truncate(segment.len().saturating_sub(cut));
    for payload in walk(&segment, stream, HEADER.min(segment.len()), 1) {
        assert!(written.contains(&payload), "a record that was never written");
    }
}

/// The payloads of all results. Numbers only rise, places lie one after another, and what is missing lies between.
fn walk(segment: &[u8], stream: Uuid, from: usize, next_seq: u64) -> Vec<&[u8]> {
    let mut walk = Walk::new(segment, record::seed(stream), from, next_seq);
    let mut payloads = Vec::new();
    let (mut seq, mut end) = (next_seq.saturating_sub(1), from);
    for record in walk.by_ref() {
        assert!(record.seq > seq, "numbers rise");
        assert!(record.offset >= end && record.end > record.offset + RECORD_HEADER - 1);
        (seq, end) = (record.seq, record.end);
        if let Entry::Result(payload) = record.entry {
            assert!(payload.len() <= MAX_PAYLOAD);
            payloads.push(payload);
        }
    }
    assert_eq!(walk.next_seq(), seq + 1);
    let lost = walk.into_lost();
    assert!(lost.iter().all(
        |Lost {
             first_seq, last_seq, ..
         }| first_seq <= last_seq
    ));
    assert!(lost.windows(2).all(|pair| pair[0].last_seq < pair[1].first_seq));
    payloads
}

/// What gateways and platforms decode: any bytes, and what decodes encodes again.
fn decode_results(bytes: &[u8]) {
    if let Ok(result) = CheckResult::decode(bytes) {
        let again = result.encode_to_vec();
        // NaN isn't equal to itself: the bytes are compared.
        let decoded = CheckResult::decode(again.as_slice()).expect("it decodes again");
        assert_eq!(again.len(), decoded.encode_to_vec().len());
    }
    if let Ok(payload) = BatchPayload::decode(bytes) {
        assert!(payload.results.len() <= bytes.len());
    }
    let _ = BatchHeader::decode(bytes);
    if let Ok(batch) = SealedBatch::decode(bytes) {
        let _ = BatchHeader::decode(batch.header);
    }
}
