//! What a certificate says, by a reader of its own (RFC 5280 §4.1): the verifier's parsers are judged by it.

use crate::der::{self, BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_3, INTEGER, OCTET_STRING, OID, SEQUENCE};

pub(crate) const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];
/// The number of a `uniformResourceIdentifier` among the GeneralNames.
const URI: u8 = 6;

/// A certificate that is DER and version 3.
pub(crate) struct Certificate<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    pub(crate) extensions: Vec<Extension<'a>>,
}

pub(crate) struct Extension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) is_critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let [body, _algorithm, signature] = der::inside(SEQUENCE, bytes)?.try_into().ok()?;
        if !body.is(SEQUENCE) || !signature.is(BIT_STRING) {
            return None;
        }
        let fields = der::elements(body.content)?;
        let [
            version,
            serial,
            _algorithm,
            _issuer,
            _validity,
            subject,
            spki,
            optional @ ..,
        ] = fields.as_slice()
        else {
            return None;
        };
        if version.whole != [CONTEXT_0, 3, INTEGER, 1, 2] || !serial.is(INTEGER) {
            return None;
        }
        let extensions = match optional.iter().find(|field| field.is(CONTEXT_3)) {
            Some(field) => der::inside(SEQUENCE, field.content)?
                .iter()
                .map(|element| Extension::read(element.content))
                .collect::<Option<Vec<_>>>()?,
            None => Vec::new(),
        };
        Some(Self {
            serial: serial.content,
            subject: subject.whole,
            spki: spki.whole,
            extensions,
        })
    }

    /// The only extension with this OID. Panics where there are two: no certificate that is accepted may have them.
    pub(crate) fn extension(&self, oid: &[u8]) -> Option<&Extension<'a>> {
        let mut found = self.extensions.iter().filter(|extension| extension.oid == oid);
        let first = found.next();
        assert!(found.next().is_none(), "accepted with an extension twice");
        first
    }

    /// The only alternative name, which is a URI.
    pub(crate) fn only_uri(&self) -> Option<&'a [u8]> {
        let names = der::inside(SEQUENCE, self.extension(ALTERNATIVE_NAMES)?.value)?;
        match names.as_slice() {
            [only] if only.is(URI) => Some(only.content),
            _ => None,
        }
    }

    /// Whether it says that it is a CA; `None` where what it says of that isn't DER.
    pub(crate) fn is_ca(&self) -> Option<bool> {
        let Some(extension) = self.extension(BASIC_CONSTRAINTS) else {
            return Some(false);
        };
        let constraints = der::leading(extension.value).filter(|whole| whole.is(SEQUENCE))?;
        if constraints.content.is_empty() {
            return Some(false);
        }
        // Behind it may stand a path length, whose form is for path building to judge.
        let first = der::leading(constraints.content)?;
        Some(first.is(BOOLEAN) && first.content != [0])
    }

    /// The bits of the key usage, of which 0 is digitalSignature, 5 keyCertSign and 6 cRLSign (RFC 5280 §4.2.1.3), if it
    /// is there and critical.
    pub(crate) fn critical_key_usage(&self) -> Option<impl Fn(usize) -> bool + use<'a>> {
        let extension = self
            .extension(KEY_USAGE)
            .filter(|extension| extension.is_critical)?;
        let [bits] = der::elements(extension.value)?.try_into().ok()?;
        let bytes = bits.content.get(1..).filter(|_| bits.is(BIT_STRING))?;
        Some(move |bit: usize| {
            bytes
                .get(bit / 8)
                .is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
        })
    }

    /// Whether it is for servers, for clients, and for anything.
    pub(crate) fn extended_key_usage(&self) -> Option<[bool; 3]> {
        let usages = der::inside(SEQUENCE, self.extension(EXTENDED_KEY_USAGE)?.value)?;
        let has = |oid: &[u8]| usages.iter().any(|usage| usage.is(OID) && usage.content == oid);
        Some([has(SERVER_AUTH), has(CLIENT_AUTH), has(ANY_USAGE)])
    }
}

impl<'a> Extension<'a> {
    fn read(content: &'a [u8]) -> Option<Self> {
        let fields = der::elements(content)?;
        let (oid, is_critical, value) = match fields.as_slice() {
            [oid, value] => (oid, false, value),
            [oid, critical, value] if critical.is(BOOLEAN) => (oid, critical.content != [0], value),
            _ => return None,
        };
        (oid.is(OID) && value.is(OCTET_STRING)).then_some(Self {
            oid: oid.content,
            is_critical,
            value: value.content,
        })
    }
}
