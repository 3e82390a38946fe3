//! What is said about the output itself: at the end of the details, where the text before it gives way.

use std::borrow::Cow;

/// Of the 16 KiB of details, so that most of them stay the command's own words.
const MAX_BYTES: usize = 4 << 10;

/// Notes, one a line.
#[derive(Default)]
pub(super) struct Notes {
    text: String,
    left_out: usize,
}

impl Notes {
    /// Adds one line.
    pub(super) fn add(&mut self, note: &str) {
        const BEGIN: &str = "note: ";
        if self.text.len() + BEGIN.len() + note.len() + 1 > MAX_BYTES {
            self.left_out += 1;
            return;
        }
        self.text.push_str(BEGIN);
        self.text.push_str(note);
        self.text.push('\n');
    }

    /// The notes below a text that is cut where both together are longer than `limit` bytes, which is more than notes can
    /// have; `None` where there is nothing to say.
    pub(super) fn below(mut self, text: &str, limit: usize) -> Option<String> {
        if self.left_out > 0 {
            self.text
                .push_str(&format!("note: and {} more of these\n", self.left_out));
        }
        let notes = self.text.trim_end();
        if notes.is_empty() && text.is_empty() {
            return None;
        }
        let room = limit.saturating_sub(notes.len() + 1);
        let text = shortened(text, room);
        Some(match (text.is_empty(), notes.is_empty()) {
            (true, _) => notes.to_owned(),
            (false, true) => text.into_owned(),
            (false, false) => format!("{text}\n{notes}"),
        })
    }
}

/// At most `limit` bytes, cut between characters, with an ellipsis where something was cut.
pub(super) fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    const ELLIPSIS: char = '…';
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(limit.saturating_sub(ELLIPSIS.len_utf8()));
    Cow::Owned(format!("{}{ELLIPSIS}", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_gives_way_to_notes_and_both_stay_within_the_limit() {
        let mut notes = Notes::default();
        for number in 0..10_000 {
            notes.add(&format!("number {number}"));
        }
        let details = notes.below(&"ä".repeat(20_000), 16 << 10).unwrap();
        assert!(details.len() <= 16 << 10, "{}", details.len());
        assert!(details.contains("…\nnote: number 0\n"));
        assert!(
            details.ends_with("more of these"),
            "{}",
            &details[details.len() - 60..]
        );
    }

    #[test]
    fn nothing_to_say_is_nothing() {
        assert_eq!(Notes::default().below("", 100), None);
    }
}
