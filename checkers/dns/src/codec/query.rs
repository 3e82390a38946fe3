//! A question on the wire.

use super::name::Name;
use super::record::{CLASS_IN, RecordType, TYPE_OPT};

/// What a datagram carries without being split on any usual path (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
/// In a question: "I understand AD" (RFC 6840 §5.7).
const FLAG_AUTHENTICATED: u16 = 0x0020;

/// One question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) name: &'a Name,
    pub(crate) record: RecordType,
    pub(crate) recursion: bool,
}

impl Query<'_> {
    pub(crate) fn encode(&self, id: u16) -> Vec<u8> {
        let recursion = if self.recursion { FLAG_RECURSION_DESIRED } else { 0 };
        let mut bytes = Vec::with_capacity(64);
        // One question, no answers, no authorities, one additional record: OPT.
        for field in [id, recursion | FLAG_AUTHENTICATED, 1, 0, 0, 1] {
            bytes.extend(field.to_be_bytes());
        }
        self.name.encode(&mut bytes);
        bytes.extend(self.record.code().to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        // OPT (RFC 6891 §6.1.2): the root's name, our payload size, version 0, no flags, no options.
        bytes.push(0);
        bytes.extend(TYPE_OPT.to_be_bytes());
        bytes.extend(UDP_PAYLOAD.to_be_bytes());
        bytes.extend([0; 6]);
        bytes
    }
}
