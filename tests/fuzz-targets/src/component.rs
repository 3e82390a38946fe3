//! Looking a component over.

use picket_sandbox::component::inspect::{MAX_BYTES, inspect};

/// Any file that a customer may drop into the folder. Most of what a mutation makes isn't WebAssembly at all, so that the
/// first bytes are put right where the input says so.
pub fn component(input: &[u8]) {
    let mut bytes = input.to_vec();
    if bytes.len() > 8 && bytes[0] == b'+' {
        bytes[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
    }
    match inspect(&bytes) {
        Ok(found) => {
            assert!(bytes.len() as u64 <= MAX_BYTES);
            assert!(!found.exports.is_empty(), "a checker exports something");
        }
        Err(error) => assert_is_a_sentence(&error.to_string()),
    }
}

/// What reaches a log and a screen is short, whatever the file is.
fn assert_is_a_sentence(text: &str) {
    assert!(!text.is_empty());
    assert!(
        text.len() < 16 << 10,
        "a sentence of {} bytes: {:?}",
        text.len(),
        text.chars().take(200).collect::<String>()
    );
}
