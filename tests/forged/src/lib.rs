//! Components that no compiler makes.
//!
//! * [`guest`]: a hostile guest in WebAssembly's text form, from `guests/NAME.wat`: what Rust has no words for.
//! * [`bombs`]: files that are small, or at least within every count, and that a compiler would choke on.
//!
//! A guest's text is the inside of a core module and says what differs from an honest checker: `$run` at least, which gives
//! the address of its result. The rest, and the component around it, is `checker.wat`.

pub mod bombs;

/// The guests: their names and texts.
const GUESTS: &[(&str, &str)] = &[
    ("bad-discriminant", include_str!("../guests/bad-discriminant.wat")),
    ("honest", include_str!("../guests/honest.wat")),
    (
        "list-beyond-memory",
        include_str!("../guests/list-beyond-memory.wat"),
    ),
    ("many-memories", include_str!("../guests/many-memories.wat")),
    ("multi-memory", include_str!("../guests/multi-memory.wat")),
    ("post-return-spin", include_str!("../guests/post-return-spin.wat")),
    (
        "realloc-beyond-memory",
        include_str!("../guests/realloc-beyond-memory.wat"),
    ),
    ("realloc-spin", include_str!("../guests/realloc-spin.wat")),
    ("shared-strings", include_str!("../guests/shared-strings.wat")),
    ("start-spin", include_str!("../guests/start-spin.wat")),
    ("table-bomb", include_str!("../guests/table-bomb.wat")),
];

/// The names of all guests.
pub fn guests() -> impl Iterator<Item = &'static str> {
    GUESTS.iter().map(|(name, _)| *name)
}

/// A guest's component; `None` where there is none of that name, or where its text isn't WebAssembly.
#[must_use]
pub fn guest(name: &str) -> Option<Vec<u8>> {
    let (_, text) = GUESTS.iter().find(|(own, _)| *own == name)?;
    wat::parse_str(component(text)).ok()
}

/// A guest in whose text, template and all, something else stands for `old`.
#[must_use]
pub fn guest_with(name: &str, old: &str, new: &str) -> Option<Vec<u8>> {
    let (_, text) = GUESTS.iter().find(|(own, _)| *own == name)?;
    wat::parse_str(component(text).replace(old, new)).ok()
}

/// The template around a guest; what the guest defines itself is left out.
fn component(guest: &str) -> String {
    let mut text = include_str!("checker.wat").replace(";; {guest}", guest);
    for own in ["$realloc", "$post-run"] {
        if guest.contains(&format!("(func {own}")) {
            let (begin, end) = (format!(";; {{{own}"), format!(";; {own}}}"));
            if let (Some(from), Some(to)) = (text.find(&begin), text.find(&end)) {
                text.replace_range(from..to, "");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_a_component() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/guests");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), GUESTS.len());
        for (name, text) in GUESTS {
            if let Err(error) = wat::parse_str(component(text)) {
                panic!("{name}: {error}");
            }
        }
    }
}
