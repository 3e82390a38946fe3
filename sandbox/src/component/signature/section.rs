//! The custom section of a component that holds its signature.
//!
//! It is the last section of the file, at its outermost level, and there is one: everything before it is what was signed.
//! Sections of that name inside nested modules and components are part of what is signed, and mean nothing.

use wasmparser::BinaryReader;

use super::{MAX_BYTES, SignatureError};

/// The section's name.
pub const NAME: &str = "picket:signature";

/// Magic number, version and layer.
const HEADER: usize = 8;
/// The id of custom sections, in modules and components alike.
const CUSTOM: u8 = 0;

/// A component's bytes in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// The component without its signature section.
    pub component: &'a [u8],
    /// What the section holds; `None` where there is none.
    pub signature: Option<&'a [u8]>,
}

/// Takes the signature section off. Bytes that aren't WebAssembly have none.
///
/// # Errors
/// Several such sections, or one that isn't the last thing in the file.
pub fn split(bytes: &[u8]) -> Result<Split<'_>, SignatureError> {
    let unsigned = Split {
        component: bytes,
        signature: None,
    };
    let Some(found) = find(bytes) else {
        return Ok(unsigned);
    };
    match found.as_slice() {
        [] => Ok(unsigned),
        [(start, end, content)] if *end == bytes.len() => Ok(Split {
            component: bytes.get(..*start).unwrap_or_default(),
            signature: Some(content),
        }),
        [_] => Err(SignatureError::SectionNotLast),
        several => Err(SignatureError::SeveralSections { found: several.len() }),
    }
}

/// Appends a signature section, in the place of the one that is there.
///
/// # Errors
/// As [`split`], or a signature of more than [`MAX_BYTES`].
pub fn append(bytes: &[u8], signature: &[u8]) -> Result<Vec<u8>, SignatureError> {
    if signature.len() > MAX_BYTES {
        return Err(SignatureError::TooLong);
    }
    let component = split(bytes)?.component;
    let mut content = Vec::with_capacity(NAME.len() + signature.len() + 1);
    content.extend(leb128(NAME.len()));
    content.extend(NAME.as_bytes());
    content.extend(signature);
    let mut signed = component.to_vec();
    signed.push(CUSTOM);
    signed.extend(leb128(content.len()));
    signed.extend(content);
    Ok(signed)
}

type Found<'a> = (usize, usize, &'a [u8]);

/// Start, end and content of each signature section; `None` where the sections can't be told apart.
fn find(bytes: &[u8]) -> Option<Vec<Found<'_>>> {
    if !bytes.starts_with(b"\0asm") {
        return None;
    }
    let mut reader = BinaryReader::new(bytes, 0);
    reader.read_bytes(HEADER).ok()?;
    let mut found = Vec::new();
    while !reader.eof() {
        let start = reader.original_position();
        let id = reader.read_u8().ok()?;
        let size = usize::try_from(reader.read_var_u32().ok()?).ok()?;
        let section = reader.read_bytes(size).ok()?;
        if id == CUSTOM
            && let Some(content) = content(section)
        {
            found.push((start, reader.original_position(), content));
        }
    }
    Some(found)
}

/// What a custom section holds, if it is a signature's.
fn content(section: &[u8]) -> Option<&[u8]> {
    let mut reader = BinaryReader::new(section, 0);
    let name = reader.read_string().ok()?;
    if name != NAME {
        return None;
    }
    section.get(reader.original_position()..)
}

/// An unsigned LEB128 number (WebAssembly core specification, §5.2.2).
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
