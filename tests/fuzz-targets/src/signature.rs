//! Signatures of checkers.

use picket_sandbox::component::signature::{MAX_BYTES, Signature, section};

/// Any bytes beside a component, or in a section of one: what is read has one spelling, and nothing that is read by chance
/// counts for a component. The input is tried as a signature, as a component, and as one in the other.
pub fn signature(input: &[u8]) {
    if let Ok(signature) = Signature::parse(input) {
        assert!(input.len() <= MAX_BYTES);
        let text = signature.encode();
        assert_eq!(text.as_bytes(), input, "a signature has one spelling");
        assert_eq!(Signature::parse(text.as_bytes()), Ok(signature.clone()));
        assert!(
            signature.check(b"another component").is_err(),
            "a signature counts for what it wasn't made for"
        );
    }
    match section::split(input) {
        Ok(split) => {
            assert!(input.starts_with(split.component));
            assert_eq!(split.signature.is_some(), split.component.len() < input.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // What is appended comes off again, whatever it is.
    let component = [b"\0asm\x0d\0\x01\0".as_slice(), b"\0\x03\x01x\x07"].concat();
    match section::append(&component, input) {
        Ok(signed) => {
            let split = section::split(&signed).expect("one section, and the last");
            assert_eq!(split.component, component);
            assert_eq!(split.signature, Some(input));
            // In the place of the one that is there, not beside it.
            assert_eq!(section::append(&signed, input).as_ref(), Ok(&signed));
        }
        Err(_) => assert!(input.len() > MAX_BYTES),
    }
}
