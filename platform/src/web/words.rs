//! Numbers, times and states as people read them.

use time::OffsetDateTime;
use time::macros::format_description;

use crate::clock::UnixMs;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A length of time: the two largest units that matter, as in "3 h 12 min".
#[must_use]
pub fn duration(ms: i64) -> String {
    let ms = ms.saturating_abs();
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR if ms < 10 * MINUTE => two(ms / MINUTE, "min", ms % MINUTE / SECOND, "s"),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => two(ms / HOUR, "h", ms % HOUR / MINUTE, "min"),
        _ if ms < 30 * DAY => two(ms / DAY, "d", ms % DAY / HOUR, "h"),
        _ => format!("{} d", ms / DAY),
    }
}

/// How long ago `at` was, or how soon it will be.
#[must_use]
pub fn ago(at: UnixMs, now: UnixMs) -> String {
    let age = now.saturating_sub(at);
    match age {
        // A clock a little ahead of ours is no future.
        _ if age.saturating_abs() < SECOND => "just now".to_owned(),
        _ if age > 0 => format!("{} ago", coarse(age)),
        _ => format!("in {}", coarse(age)),
    }
}

/// A length of time in one unit; `app.js` has the same rule.
#[must_use]
pub fn coarse(ms: i64) -> String {
    let ms = ms.saturating_abs();
    match ms {
        0..SECOND => "less than 1 s".to_owned(),
        SECOND..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        _ if ms < 2 * DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

/// RFC 3339 in UTC, to the second; empty for a time beyond all calendars.
#[must_use]
pub fn timestamp(at: UnixMs) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(at.div_euclid(SECOND))
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_default()
}

/// Bytes, in powers of 1024.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // 1023.95 would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 100.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// Microseconds.
#[must_use]
pub fn micros(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{} ms", number(us as f64 / 1000.0)),
        _ => format!("{} s", number(us as f64 / 1_000_000.0)),
    }
}

/// A number to three significant digits or so, without needless zeros.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs();
    let text = match magnitude {
        _ if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) => return format!("{value:.3e}"),
        _ if magnitude >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        _ if magnitude >= 10.0 => format!("{value:.1}"),
        _ if magnitude >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.5}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A metric's value with its unit (UCUM style).
#[must_use]
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "By" if (0.0..1e19).contains(&value) => bytes(value as u64),
        "s" if value != 0.0 && value.abs() < 1.0 => format!("{} ms", number(value * 1000.0)),
        "%" => format!("{} %", number(value)),
        "" | "1" => number(value),
        // UCUM writes what is counted in braces.
        _ => format!("{} {}", number(value), unit.trim_matches(['{', '}'])),
    }
}

/// A count with its noun.
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {many}")
    }
}

/// The verifier's or the network's reason in words, for people who didn't write it.
#[must_use]
pub fn cause(word: &str) -> String {
    match word {
        "" => "no reason given",
        "refused" => "connection refused",
        "timeout" => "no answer in time",
        "name_resolution" => "name not found",
        "protocol" => "not speaking our protocol",
        "wrong_tenant" => "certificate of another tenant",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

/// Why a run gave no report.
#[must_use]
pub fn failure(word: &str) -> &'static str {
    match word {
        "" => "",
        "crash" => "The checker crashed.",
        "timeout" => "The checker ran out of wall time.",
        "cpu" => "The checker used up its CPU time.",
        "memory" => "The checker asked for more memory than it may have.",
        "bad_output" => "The checker returned something that breaks the contract's limits.",
        "denied" => "The checker was refused something that it needs; its check grants too little.",
        "invalid_config" => "The checker can't run with this configuration.",
        "no_checker" => "The agent has no such checker, or can't load it.",
        "failed" => "The checker itself said that it failed.",
        "unsupported" => "The agent's machine lacks something that the checker needs.",
        _ => "The run gave no report.",
    }
}

/// Why results were lost.
#[must_use]
pub fn loss(cause: &str) -> String {
    match cause {
        "quota" => "the spool was full".to_owned(),
        "corruption" => "the agent's disk returned other bytes than were written".to_owned(),
        "disk_full" => "the agent's disk was full".to_owned(),
        other => other.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (61_000, "1 min 1 s"),
            (600_000, "10 min"),
            (3_600_000, "1 h"),
            (11_520_000, "3 h 12 min"),
            (90 * DAY + HOUR, "90 d"),
            (-2 * DAY - HOUR, "2 d 1 h"),
            (i64::MIN, "106751991167 d"),
        ];
        for (ms, words) in cases {
            assert_eq!(duration(ms), words);
        }
    }

    #[test]
    fn ago_tells_past_from_future() {
        assert_eq!(ago(1_000, 13_000), "12 s ago");
        assert_eq!(ago(13_000, 1_000), "in 12 s");
        assert_eq!(ago(1_000, 1_500), "just now");
    }

    #[test]
    fn bytes_never_read_1024_of_a_unit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(quantity(0.0234, "s"), "23.4 ms");
        assert_eq!(quantity(97.25, "%"), "97.2 %");
        assert_eq!(quantity(3.0, "1"), "3");
        assert_eq!(quantity(0.5, "m"), "0.5 m");
        assert_eq!(quantity(2.0, "{redirect}"), "2 redirect");
        assert_eq!(quantity(f64::NAN, "By"), "NaN By");
        assert_eq!(number(1e300), "1.000e300");
    }

    #[test]
    fn a_timestamp_beyond_the_calendar_is_empty() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(i64::MAX), "");
    }
}
