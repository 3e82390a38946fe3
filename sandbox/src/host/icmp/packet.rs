//! Echo requests and replies on the wire (RFC 792, RFC 4443).

/// Which ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

const HEADER: usize = 8;

/// An echo request. The checksum of ICMPv6, and of everything on a ping socket, is the kernel's business.
pub(super) fn request(version: Version, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let kind = match version {
        Version::V4 => 8,
        Version::V6 => 128,
    };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(identifier.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(payload);
    if version == Version::V4 {
        let sum = checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
    }
    packet
}

/// The sequence number, where this is the reply to a request of ours: the payload tells that, as a ping socket's kernel
/// chooses the identifier. A raw socket of IPv4 shows the IP header too.
pub(super) fn reply(version: Version, raw: bool, bytes: &[u8], payload: &[u8]) -> Option<u16> {
    let packet = if raw && version == Version::V4 {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        bytes.get(header..)?
    } else {
        bytes
    };
    let kind = match version {
        Version::V4 => 0,
        Version::V6 => 129,
    };
    let ours = packet.len() >= HEADER && packet[0] == kind && packet[1] == 0 && &packet[HEADER..] == payload;
    ours.then(|| u16::from_be_bytes([packet[6], packet[7]]))
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = bytes.chunks(2).fold(0_u32, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_sums_to_zero() {
        for payload in [&b"12345678"[..], b"123456789"] {
            assert_eq!(checksum(&request(Version::V4, 7, 9, payload)), 0);
        }
    }

    #[test]
    fn a_reply_is_known_by_its_payload() {
        let reply_with = |payload: &[u8]| [&[0, 0, 0, 0, 1, 2, 0, 5][..], payload].concat();
        assert_eq!(
            reply(Version::V4, false, &reply_with(b"12345678"), b"12345678"),
            Some(5)
        );
        assert_eq!(
            reply(Version::V4, false, &reply_with(b"others.."), b"12345678"),
            None
        );
        let mut raw = vec![0x45; 20];
        raw.extend(reply_with(b"12345678"));
        assert_eq!(reply(Version::V4, true, &raw, b"12345678"), Some(5));
    }

    proptest! {
        #[test]
        fn reading_never_panics(raw: bool, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = reply(Version::V4, raw, &bytes, b"12345678");
            let _ = reply(Version::V6, raw, &bytes, b"12345678");
        }
    }
}
