use proptest::prelude::*;

use super::*;

const SEED: u32 = 0x1234_5678;

fn segment(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = encode_header(Uuid::nil(), 1).to_vec();
    let mut ends = Vec::new();
    for (seq, payload) in (1..).zip(payloads) {
        encode(&mut bytes, SEED, seq, payload);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn results(segment: &[u8]) -> (Vec<(u64, Vec<u8>)>, Vec<Lost>) {
    let mut walk = Walk::new(segment, SEED, HEADER, 1);
    let mut found = Vec::new();
    for record in walk.by_ref() {
        if let Entry::Result(payload) = record.entry {
            found.push((record.seq, payload.to_vec()));
        }
    }
    (found, walk.into_lost())
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20)
}

proptest! {
    #[test]
    fn a_segment_cut_at_any_byte_gives_back_every_whole_record_and_no_other(
        payloads in payloads(),
        cut in 0.0f64..1.0,
        zeros in any::<bool>(),
    ) {
        let (mut bytes, ends) = segment(&payloads);
        let cut = HEADER + ((bytes.len() - HEADER) as f64 * cut) as usize;
        let full = bytes.len();
        bytes.truncate(cut);
        if zeros {
            bytes.resize(full + 64, 0);
        }
        let (found, lost) = results(&bytes);
        // A record's padding may be cut off without harm where zeros follow.
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        prop_assert!(found.len() == whole || found.len() == whole + 1);
        for (index, (seq, payload)) in found.iter().enumerate() {
            prop_assert_eq!(*seq, index as u64 + 1);
            prop_assert_eq!(payload, &payloads[index]);
        }
        prop_assert!(lost.is_empty());
    }

    #[test]
    fn a_damaged_record_followed_by_good_ones_is_reported_and_the_good_ones_are_kept(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 8..100), 3..12),
        victim in 0usize..100,
        byte in 0usize..100,
        flip in 1u8..,
    ) {
        let (mut bytes, ends) = segment(&payloads);
        let victim = victim % (payloads.len() - 1);
        let start = if victim == 0 { HEADER } else { ends[victim - 1] };
        let position = start + byte % (RECORD_HEADER + payloads[victim].len());
        bytes[position] ^= flip;
        let (found, lost) = results(&bytes);
        let seq = victim as u64 + 1;
        prop_assert_eq!(found.len(), payloads.len() - 1);
        prop_assert!(found.iter().all(|(found, payload)| *found != seq && *payload == payloads[*found as usize - 1]));
        prop_assert_eq!(lost, vec![Lost { first_seq: seq, last_seq: seq, cause: Cause::Corruption }]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = decode_header(&bytes);
        let _ = results(&bytes);
    }
}

#[test]
fn a_loss_is_read_back() {
    let mut bytes = vec![0; HEADER];
    let lost = Lost {
        first_seq: 1,
        last_seq: 7,
        cause: Cause::DiskFull,
    };
    encode_loss(&mut bytes, SEED, &lost);
    encode(&mut bytes, SEED, 8, b"next");
    let (found, losses) = results(&bytes);
    assert_eq!(found, [(8, b"next".to_vec())]);
    assert_eq!(losses, [lost]);
}

#[test]
fn a_header_is_read_back_and_a_damaged_one_refused() {
    let stream = Uuid::from_u128(7);
    let mut header = encode_header(stream, 42).to_vec();
    assert_eq!(decode_header(&header), Some((stream, 42)));
    header[9] ^= 1;
    assert_eq!(decode_header(&header), None);
}
