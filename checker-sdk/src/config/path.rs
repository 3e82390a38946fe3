//! Where in a JSON text an error is.
//!
//! serde_json tells line and column. What leads there is found by reading the text once more, up to that place: a few
//! lines of code for all configurations, where tracking the path while reading costs each checker a tenth of its size.

/// What is open at a place.
enum Frame<'a> {
    /// An object, and the key that was read last.
    Object(Option<&'a str>),
    /// An array, and the index of the element that was begun last.
    Array { next: usize, begun: Option<usize> },
}

/// Where an error is, as serde_json counts: lines from 1, and bytes of the line before it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    /// What is wrong is the innermost object itself and not the member of it that was read last.
    pub(super) of_whole_object: bool,
}

/// The keys and indices that lead to a place: `servers[1].port`. Empty where it is the whole text.
pub(super) fn path_to(json: &str, place: Place) -> String {
    let mut frames = open_at(json, end_of(json, place));
    if let (true, Some(Frame::Object(key))) = (place.of_whole_object, frames.last_mut()) {
        *key = None;
    }
    let mut path = String::new();
    for frame in frames {
        match frame {
            Frame::Object(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Frame::Array {
                begun: Some(index), ..
            } => path.push_str(&format!("[{index}]")),
            Frame::Object(None) | Frame::Array { begun: None, .. } => {}
        }
    }
    path
}

fn end_of(json: &str, place: Place) -> usize {
    let lines = json.split_inclusive('\n').map(str::len);
    let start: usize = lines.take(place.line.saturating_sub(1)).sum();
    start.saturating_add(place.column).min(json.len())
}

fn open_at(json: &str, end: usize) -> Vec<Frame<'_>> {
    let bytes = &json.as_bytes()[..end];
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if let Some(Frame::Array { next, begun }) = frames.last_mut()
            && !byte.is_ascii_whitespace()
            && byte != b','
            && byte != b']'
        {
            *begun = Some(*next);
        }
        match byte {
            b'{' => frames.push(Frame::Object(None)),
            b'[' => frames.push(Frame::Array { next: 0, begun: None }),
            b'}' | b']' => {
                frames.pop();
            }
            b',' => match frames.last_mut() {
                Some(Frame::Object(key)) => *key = None,
                Some(Frame::Array { next, begun }) => {
                    *next += 1;
                    *begun = None;
                }
                None => {}
            },
            b'"' => {
                let length = string_length(&bytes[at + 1..]);
                if let Some(Frame::Object(key @ None)) = frames.last_mut() {
                    *key = json.get(at + 1..at + 1 + length);
                }
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
    frames
}

/// Bytes up to the closing quote, or to the end where it isn't there.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(json: &str, column: usize) -> String {
        let place = Place {
            line: 1,
            column,
            of_whole_object: false,
        };
        path_to(json, place)
    }

    #[test]
    fn a_path_is_what_was_read_last() {
        let json = r#"{"a":{"b\"}":[1,{"c":2}],"d":3}}"#;
        for (before, expected) in [
            (r#"{"a""#, "a"),
            (r#"{"a":{"#, "a"),
            (r#"{"a":{"b\"}":["#, r#"a.b\"}"#),
            (r#"{"a":{"b\"}":[1"#, r#"a.b\"}[0]"#),
            (r#"{"a":{"b\"}":[1,{"c":2"#, r#"a.b\"}[1].c"#),
            (r#"{"a":{"b\"}":[1,{"c":2}"#, r#"a.b\"}[1]"#),
            (r#"{"a":{"b\"}":[1,{"c":2}],"d":3"#, "a.d"),
            (json, ""),
        ] {
            assert!(json.starts_with(before), "{before}");
            assert_eq!(path(json, before.len()), expected, "{before}");
        }
    }

    #[test]
    fn lines_count() {
        let place = Place {
            line: 2,
            column: 6,
            of_whole_object: false,
        };
        assert_eq!(path_to("{\"a\":1,\n\"b\": 2}", place), "b");
    }

    proptest! {
        #[test]
        fn no_text_and_no_place_make_it_panic(json in ".{0,60}", line in 0usize..4, column in 0usize..80, of_whole_object: bool) {
            path_to(&json, Place { line, column, of_whole_object });
        }
    }
}
