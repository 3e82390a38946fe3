//! Reading within bounds.

use super::{Malformed, malformed};

/// A place in a whole message; names may point back to what came earlier in it.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { message, position: 0 }
    }

    pub(crate) fn at(message: &'a [u8], position: usize) -> Self {
        Self { message, position }
    }

    pub(crate) fn message(&self) -> &'a [u8] {
        self.message
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.position.checked_add(count);
        let bytes = end.and_then(|end| self.message.get(self.position..end));
        let bytes = bytes.ok_or_else(|| malformed(format!("cut short at byte {}", self.position)))?;
        self.position += count;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// One `<character-string>`: a length and so many bytes.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }
}
