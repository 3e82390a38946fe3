//! Grants.

use picket_sandbox::grant::{Grant, GrantSet};

/// A grant that is read prints as something that reads as the same grant, and covers itself. A second line in the input
/// is a need: what it is granted by must be granted as well when both went through their texts.
pub fn grant(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.splitn(2, '\n').map(read);
    let first = lines.next().flatten();
    let second = lines.next().flatten();
    if let (Some(granted), Some(needed)) = (first, second) {
        let direct = covers(&granted, &needed);
        let again = covers(
            &granted.to_string().parse().unwrap(),
            &needed.to_string().parse().unwrap(),
        );
        assert_eq!(direct, again, "{granted} and {needed}");
    }
}

fn read(text: &str) -> Option<Grant> {
    match text.parse::<Grant>() {
        Ok(grant) => {
            let printed = grant.to_string();
            let again: Grant = printed
                .parse()
                .unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}: {error}"));
            assert_eq!(grant, again, "{text:?} prints as {printed:?}");
            assert_eq!(printed, again.to_string());
            assert!(covers(&grant, &grant), "{grant} doesn't cover itself");
            Some(grant)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn covers(granted: &Grant, needed: &Grant) -> bool {
    let set: GrantSet = [granted.clone()].into_iter().collect();
    set.satisfies(needed).is_ok()
}
