//! When a check runs: `interval` or `cron`, `offset`, `jitter`, `attempts`, `retry_interval`.

use std::time::Duration;

use super::section::{At, Section};
use crate::schedule::cron::CronTimes;

/// Each run costs a result on disk and on the wire; a shorter one is a load, not a check.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// A cron's jitter stays below the least that can lie between two of its times.
const CRON_JITTER: Duration = Duration::from_secs(60);
/// A cron that is shifted by more is another cron.
const CRON_OFFSET: Duration = Duration::from_secs(86_400);

/// When a check runs, beyond its interval and its jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Its times, in UTC, where it has a cron in place of an interval.
    pub cron: Option<CronTimes>,
    /// Its phase, in place of the one that is made from its name; shifts a cron.
    pub offset: Option<Duration>,
    /// Results in a row that aren't ok, from which on its state is hard.
    pub attempts: u32,
    /// From a soft result to the next run; `None` where that is the next turn.
    pub retry_interval: Option<Duration>,
}

impl Default for Timing {
    /// An interval, phase by name, every result hard.
    fn default() -> Self {
        Self {
            cron: None,
            offset: None,
            attempts: 1,
            retry_interval: None,
        }
    }
}

/// Everything about a check's time.
pub(super) struct Read {
    pub(super) interval: Duration,
    pub(super) jitter: Duration,
    pub(super) rest: Timing,
}

/// Reads a check's keys. `None` where it isn't known how often it runs; a problem says why.
pub(super) fn read(section: &mut Section<'_>) -> Option<Read> {
    let interval = section.duration("interval", "30s");
    let cron = section.parsed::<CronTimes>("cron", "*/5 * * * *");
    let jitter = section.duration("jitter", "3s");
    let offset = section.duration("offset", "10s");
    let attempts = section.whole_number("attempts", 1..101);
    let retry_interval = section.duration("retry_interval", "10s");
    if !section.has("interval") && !section.has("cron") {
        section.add_here(
            "neither `interval` nor `cron` says how often the check runs",
            "add `interval = \"30s\"`, or `cron = \"*/5 * * * *\"` for fixed times in UTC",
        );
    }
    if let (Some(_), Some(cron)) = (&interval, &cron) {
        section.findings().add_with_help(
            cron.span.clone(),
            "`cron` and `interval` both say how often the check runs",
            "one too many",
            format!(
                "remove `interval`, or remove `cron = \"{}\"`; expected exactly one of the two",
                cron.value
            ),
        );
    }
    let period = match (&interval, &cron) {
        (Some(interval), _) => interval.value,
        (None, Some(cron)) => cron.value.least_gap(),
        (None, None) => return None,
    };
    let limits = if interval.is_some() {
        within(
            section,
            interval.as_ref(),
            "interval",
            SHORTEST,
            LONGEST,
            "1s to 7days",
        );
        [
            ("jitter", &jitter, period, "`interval`"),
            ("offset", &offset, period, "`interval`"),
        ]
    } else {
        [
            (
                "jitter",
                &jitter,
                CRON_JITTER,
                "a minute, the least between two times of a cron",
            ),
            ("offset", &offset, CRON_OFFSET, "a day"),
        ]
    };
    for (key, value, limit, words) in limits {
        shorter_than(section, value.as_ref(), key, limit, words);
    }
    retries(section, attempts.as_ref(), retry_interval.as_ref(), period);
    let spread = if cron.is_some() {
        // Who writes down times means them.
        Duration::ZERO
    } else {
        period / 10
    };
    Some(Read {
        interval: period,
        jitter: jitter.map_or(spread, |at| at.value),
        rest: Timing {
            cron: cron.map(|at| at.value),
            offset: offset.map(|at| at.value),
            attempts: attempts.map_or(1, |at| u32::try_from(at.value).unwrap_or(1)),
            retry_interval: retry_interval.map(|at| at.value),
        },
    })
}

fn retries(
    section: &Section<'_>,
    attempts: Option<&At<u64>>,
    retry_interval: Option<&At<Duration>>,
    period: Duration,
) {
    let Some(retry) = retry_interval else { return };
    within(
        section,
        Some(retry),
        "retry_interval",
        SHORTEST,
        Duration::MAX,
        "at least 1s",
    );
    let words = "`interval`: a retry comes before the next turn";
    shorter_than(section, Some(retry), "retry_interval", period, words);
    let has_one_attempt = match attempts {
        Some(attempts) => attempts.value == 1,
        None => !section.has("attempts"),
    };
    if has_one_attempt {
        section.findings().add_with_help(
            retry.span.clone(),
            "`retry_interval` does nothing with one attempt: each result counts at once",
            "without effect",
            "add `attempts = 3`, or remove this line",
        );
    }
}

fn within(
    section: &Section<'_>,
    value: Option<&At<Duration>>,
    key: &str,
    least: Duration,
    most: Duration,
    words: &str,
) {
    if let Some(at) = value
        && (at.value < least || at.value > most)
    {
        section.findings().add(
            at.span.clone(),
            format!("`{key}` is out of range; expected {words}"),
            "out of range",
        );
    }
}

fn shorter_than(
    section: &Section<'_>,
    value: Option<&At<Duration>>,
    key: &str,
    limit: Duration,
    words: &str,
) {
    if let Some(at) = value
        && at.value >= limit
    {
        section.findings().add(
            at.span.clone(),
            format!("`{key}` must be shorter than {words}"),
            "too long",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::check_file::{CheckFile, parse};
    use crate::config::problem::{Problem, Source};
    use std::time::Duration;

    fn read(lines: &str) -> CheckFile {
        let text = format!("[check.web]\nchecker = \"http\"\n{lines}\n");
        parse(&Source::new("web.toml", text))
    }

    fn problems(lines: &str) -> Vec<String> {
        read(lines).problems.iter().map(Problem::sentence).collect()
    }

    #[test]
    fn a_cron_takes_the_place_of_an_interval_and_isnt_spread() {
        let file = read("cron = \"*/5 * * * *\"\noffset = \"90s\"");
        let check = &file.checks[0];
        assert_eq!(
            (check.interval, check.jitter),
            (Duration::from_secs(300), Duration::ZERO)
        );
        assert_eq!(check.rhythm(), "cron */5 * * * *");
        assert_eq!(check.plan("a").next_after(3_600_000, 0), Some(3_690_000));
    }

    #[test]
    fn both_an_interval_and_a_cron_or_neither_is_a_problem_with_the_line_to_write() {
        let both = problems("interval = \"30s\"\ncron = \"*/5 * * * *\"");
        assert_eq!(
            both,
            [
                "web.toml:4:8: `cron` and `interval` both say how often the check runs; remove `interval`, or remove \
              `cron = \"*/5 * * * *\"`; expected exactly one of the two"
            ]
        );
        let neither = problems("");
        assert_eq!(
            neither,
            [
                "web.toml:1:8: neither `interval` nor `cron` says how often the check runs; add `interval = \"30s\"`, or \
              `cron = \"*/5 * * * *\"` for fixed times in UTC"
            ]
        );
    }

    #[test]
    fn retries_are_read_and_become_the_plans() {
        let file = read("interval = \"60s\"\nattempts = 3\nretry_interval = \"10s\"\noffset = \"7s\"");
        let plan = file.checks[0].plan("a");
        assert_eq!(plan.retries().attempts, 3);
        assert_eq!(plan.retries().interval_ms, Some(10_000));
        assert_eq!(file.checks[0].timing.offset, Some(Duration::from_secs(7)));
        // Without an interval of their own, retries are the check's turns.
        assert_eq!(read("interval = \"60s\"\nattempts = 3").problems.len(), 0);
    }

    #[test]
    fn times_that_make_no_sense_are_refused_in_words() {
        for (lines, words) in [
            ("cron = \"*/5 * * *\"", "five fields"),
            ("cron = \"0 0 30 2 *\"", "never comes"),
            ("cron = \"* * * * *\"\njitter = \"60s\"", "shorter than a minute"),
            ("cron = \"* * * * *\"\noffset = \"24h\"", "shorter than a day"),
            (
                "interval = \"30s\"\noffset = \"30s\"",
                "`offset` must be shorter than `interval`",
            ),
            ("interval = \"30s\"\nattempts = 0", "expected 1 to 100"),
            (
                "interval = \"30s\"\nattempts = 3\nretry_interval = \"30s\"",
                "a retry comes before the next turn",
            ),
            (
                "interval = \"30s\"\nattempts = 3\nretry_interval = \"100ms\"",
                "at least 1s",
            ),
            (
                "interval = \"30s\"\nretry_interval = \"5s\"",
                "add `attempts = 3`",
            ),
            (
                "interval = \"30s\"\nattempts = 1\nretry_interval = \"5s\"",
                "add `attempts = 3`",
            ),
        ] {
            let found = problems(lines);
            assert!(found.len() == 1 && found[0].contains(words), "{lines}: {found:?}");
        }
        // A mistake in `attempts` isn't made worse by a second sentence about it.
        let found = problems("interval = \"30s\"\nattempts = \"3\"\nretry_interval = \"5s\"");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
