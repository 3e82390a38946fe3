//! DER (X.690 §10), read and written without any of the parsers that are fuzzed: what they accept is judged by this.

/// One element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

impl Element<'_> {
    /// Whether its tag has the number of this one. Parsers differ in whether they look at a tag's class; what counts here is
    /// what could be read.
    pub(crate) fn is(&self, tag: u8) -> bool {
        self.tag & 0x1f == tag & 0x1f
    }
}

/// The elements of `bytes`, one after the other to the last byte. `None` where they aren't DER: a tag of several bytes,
/// a length that isn't definite and as short as it can be, an element that is cut off.
pub(crate) fn elements(mut bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = first(bytes)?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}

/// The elements inside the only element of `bytes`, which has this tag.
pub(crate) fn inside(tag: u8, bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    match elements(bytes)?.as_slice() {
        [only] if only.is(tag) => elements(only.content),
        _ => None,
    }
}

/// The first element of `bytes`, whatever follows it.
pub(crate) fn leading(bytes: &[u8]) -> Option<Element<'_>> {
    first(bytes).map(|(element, _)| element)
}

fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, after_tag) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&short, after_length) = after_tag.split_first()?;
    let (length, after_length) = match short {
        0..=0x7f => (usize::from(short), after_length),
        0x81..=0x83 => {
            let (digits, rest) = after_length.split_at_checked(usize::from(short & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            if digits.first() == Some(&0) || length < 0x80 {
                return None;
            }
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = after_length.split_at_checked(length)?;
    let whole = &bytes[..bytes.len() - rest.len()];
    Some((Element { tag, content, whole }, rest))
}

/// Writes an element with this content.
pub(crate) fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let mut der = vec![tag];
    let length = content.len().to_be_bytes();
    match content.len() {
        0..=0x7f => der.push(length[7]),
        0x80..=0xff => der.extend([0x81, length[7]]),
        0x100..=0xffff => der.extend([0x82, length[6], length[7]]),
        _ => der.extend([0x83, length[5], length[6], length[7]]),
    }
    der.extend(content);
    der
}

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0]` and `[3]`, constructed: a certificate's version and its extensions, a request's attributes.
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_3: u8 = 0xa3;

/// `ecdsa-with-SHA256` as an AlgorithmIdentifier (RFC 5758 §3.2).
pub(crate) const ECDSA_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

/// A name of one common name.
pub(crate) fn name(common_name: &[u8]) -> Vec<u8> {
    let attribute = element(
        SEQUENCE,
        &[
            &element(OID, &[&[0x55, 0x04, 0x03]]),
            &element(UTF8_STRING, &[common_name]),
        ],
    );
    element(SEQUENCE, &[&element(SET, &[&attribute])])
}
