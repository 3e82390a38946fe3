//! Certificate serial numbers, in the one form that registry, logs and messages use.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The most bytes of a serial number (RFC 5280 §4.1.2.2).
const MAX_BYTES: usize = 20;

/// A text isn't a serial number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` isn't a serial number: expected 1 to 20 bytes in lower-case hexadecimal, without leading zero bytes"
)]
pub struct SerialError(String);

/// A positive serial number. As text: lower-case hexadecimal, two digits a byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// From the content bytes of a DER INTEGER: `None` for zero, negative, not minimal, or too long ones.
    #[must_use]
    pub fn from_der_integer(content: &[u8]) -> Option<Self> {
        let magnitude = match content {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => rest,
            [first, ..] if *first != 0 && first & 0x80 == 0 => content,
            _ => return None,
        };
        (content.len() <= MAX_BYTES).then(|| Self(magnitude.into()))
    }

    /// The magnitude, big-endian, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let refused = || SerialError(text.chars().take(60).flat_map(char::escape_default).collect());
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.is_empty() || !text.len().is_multiple_of(2) || text.len() > 2 * MAX_BYTES || !is_hex {
            return Err(refused());
        }
        let bytes: Result<Vec<u8>, _> = (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
            .collect();
        match bytes {
            Ok(bytes) if bytes.first().is_some_and(|&first| first != 0) => Ok(Self(bytes.into())),
            _ => Err(refused()),
        }
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_der_name_the_same_number() {
        assert_eq!(Serial::from_der_integer(&[0, 0x80, 1]), "8001".parse().ok());
        assert_eq!(Serial::from_der_integer(&[0x7f]), "7f".parse().ok());
    }

    #[test]
    fn refuses_zero_negative_padded_and_long_integers() {
        for content in [&[][..], &[0], &[0x80], &[0, 0x7f], &[1; 21]] {
            assert_eq!(Serial::from_der_integer(content), None, "{content:?}");
        }
    }

    #[test]
    fn refuses_every_second_spelling() {
        for text in ["", "0", "00", "007f", "7F", "0x7f", "7f ", "zz", &"11".repeat(21)] {
            assert!(text.parse::<Serial>().is_err(), "{text:?}");
        }
    }
}
