//! The status that a line begins with.

use crate::report::Status;

/// A status as plugins print it.
pub(super) fn printed(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::Warning => "WARNING",
        Status::Critical => "CRITICAL",
        Status::Unknown => "UNKNOWN",
    }
}

fn status(word: &str) -> Option<Status> {
    [Status::Ok, Status::Warning, Status::Critical, Status::Unknown]
        .into_iter()
        .find(|status| printed(*status) == word)
}

/// The status that a line begins with: as its first word (`OK`, `CRITICAL: …`, `WARNING - …`), or behind the service's
/// name and before a colon or a hyphen (`DISK CRITICAL - …`, `SERVICE STATUS: …`). Capitals only.
#[must_use]
pub fn leading_status(line: &str) -> Option<Status> {
    let line = line.trim();
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let first = line.split(|char| !is_word(char)).next().unwrap_or_default();
    if let Some(status) = status(first) {
        return Some(status);
    }
    let ends = [
        line.find(": "),
        line.find(" - "),
        line.strip_suffix(':').map(str::len),
    ];
    let head = &line[..ends.into_iter().flatten().min()?];
    status(head.split_whitespace().next_back()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_first_word_or_ends_the_services_name() {
        for (line, expected) in [
            ("OK", Some(Status::Ok)),
            ("OK: fine", Some(Status::Ok)),
            ("WARNING - slow", Some(Status::Warning)),
            ("CRITICAL- down", Some(Status::Critical)),
            ("DISK CRITICAL - free space: / 3 MB", Some(Status::Critical)),
            ("CHECK_NRPE STATE UNKNOWN: Socket timeout", Some(Status::Unknown)),
            ("HTTP OK: HTTP/1.1 200 OK", Some(Status::Ok)),
            (
                "WARNING: the section CRITICAL: was entered",
                Some(Status::Warning),
            ),
            ("PING WARNING:", Some(Status::Warning)),
            ("all is OK", None),
            ("ok: small letters", None),
            ("OKAY - another word", None),
            ("free space: CRITICAL", None),
            ("", None),
            (":", None),
        ] {
            assert_eq!(leading_status(line), expected, "{line}");
        }
    }
}
