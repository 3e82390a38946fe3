//! Units of performance data, and those of the contract, which are UCUM's.

use std::borrow::Cow;

/// The contract's unit for one of performance data; what the guidelines don't know stays as it is.
#[must_use]
pub fn of_perfdata(unit: &str) -> Cow<'_, str> {
    match unit {
        // `c` marks a counter, whose number is a pure one.
        "" | "c" => Cow::Borrowed("1"),
        "µs" => Cow::Borrowed("us"),
        // `K` is no prefix of UCUM's.
        "KB" => Cow::Borrowed("kBy"),
        _ => match unit.strip_suffix('B') {
            Some(prefix) if is_prefix(prefix) => Cow::Owned(format!("{prefix}By")),
            _ => Cow::Borrowed(unit),
        },
    }
}

/// How performance data writes one of the contract's units: nothing for pure numbers, counts of things, and units that
/// can't stand behind a number there.
#[must_use]
pub fn in_perfdata(unit: &str) -> Cow<'_, str> {
    match unit {
        "1" => Cow::Borrowed(""),
        "kBy" => Cow::Borrowed("KB"),
        _ => match unit.strip_suffix("By") {
            Some(prefix) if is_prefix(prefix) => Cow::Owned(format!("{prefix}B")),
            _ if is_plain(unit) => Cow::Borrowed(unit),
            _ => Cow::Borrowed(""),
        },
    }
}

/// Whether a text can stand behind a number: no digits, semicolons or quotes (§2.6), and nothing that would end it.
pub(super) fn is_plain(unit: &str) -> bool {
    let plain = |char: char| {
        !(char.is_numeric() || char.is_whitespace() || char.is_control() || ";'\"=,.+-|{}".contains(char))
    };
    unit.len() <= 32 && unit.chars().all(plain)
}

fn is_prefix(prefix: &str) -> bool {
    matches!(
        prefix,
        "" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_the_guidelines_become_ucum_and_come_back() {
        for (printed, ours) in [
            ("", "1"),
            ("s", "s"),
            ("ms", "ms"),
            ("us", "us"),
            ("ns", "ns"),
            ("%", "%"),
            ("B", "By"),
            ("KB", "kBy"),
            ("MB", "MBy"),
            ("TB", "TBy"),
            ("KiB", "KiBy"),
            ("GiB", "GiBy"),
            ("rpm", "rpm"),
            ("°C", "°C"),
        ] {
            assert_eq!(of_perfdata(printed), ours);
            assert_eq!(in_perfdata(ours), printed);
        }
    }

    #[test]
    fn units_that_would_be_misread_behind_a_number_are_left_out() {
        for unit in ["{file}", "10*3/ul", "m/s2", "a b", "e+", "it's"] {
            assert_eq!(in_perfdata(unit), "", "{unit}");
        }
    }
}
