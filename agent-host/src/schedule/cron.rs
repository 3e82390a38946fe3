//! Cron expressions: five fields, UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// Where the gaps of an expression are looked at: a Monday, the first day of a leap year, so that 29 February is in it.
const REFERENCE_MS: u64 = 1_704_067_200_000;
/// How many gaps are looked at: more than a workday has hours, and a week has days.
const GAPS: usize = 32;

/// Times of the wall clock at which something is due.
#[derive(Clone, Debug)]
pub struct CronTimes {
    text: String,
    cron: Cron,
    least_gap: Duration,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronTimesError {
    /// It can't be read.
    #[error(
        "`{text}` is not a cron expression: {reason}; expected five fields: minute, hour, day of month, month, day of week"
    )]
    Syntax {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It can be read, and its time never comes.
    #[error("`{0}` never comes: no month has such a day")]
    Never(String),
}

impl FromStr for CronTimes {
    type Err = CronTimesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Seconds would make a load of a check; a year would make it end without a word.
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|error| CronTimesError::Syntax {
            text: text.to_owned(),
            reason: error.to_string().trim_end_matches('.').to_owned(),
        })?;
        let least_gap = least_gap(&cron).ok_or_else(|| CronTimesError::Never(text.to_owned()))?;
        Ok(Self {
            text: text.to_owned(),
            cron,
            least_gap,
        })
    }
}

impl CronTimes {
    /// The first time after `unix_ms` (the wall clock's), in ms since 1970. `None` beyond the calendar's end.
    #[must_use]
    pub fn next_after(&self, unix_ms: u64) -> Option<u64> {
        next_after(&self.cron, unix_ms)
    }

    /// The shortest time between two of its times, as far as the first ones of 2024 tell.
    #[must_use]
    pub fn least_gap(&self) -> Duration {
        self.least_gap
    }
}

fn next_after(cron: &Cron, unix_ms: u64) -> Option<u64> {
    let after = DateTime::<Utc>::from_timestamp_millis(i64::try_from(unix_ms).ok()?)?;
    let next = cron.find_next_occurrence(&after, false).ok()?;
    u64::try_from(next.timestamp_millis()).ok()
}

fn least_gap(cron: &Cron) -> Option<Duration> {
    let mut at = next_after(cron, REFERENCE_MS)?;
    let mut least = None;
    for _ in 0..GAPS {
        let Some(next) = next_after(cron, at) else { break };
        least = Some(least.unwrap_or(u64::MAX).min(next - at));
        at = next;
    }
    least.map(Duration::from_millis)
}

impl fmt::Display for CronTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for CronTimes {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronTimes {}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str) -> CronTimes {
        text.parse().unwrap()
    }

    const MINUTE: u64 = 60_000;

    #[test]
    fn the_next_time_is_in_utc_and_never_the_present_one() {
        let every_five = cron("*/5 * * * *");
        assert_eq!(every_five.next_after(0), Some(5 * MINUTE));
        assert_eq!(every_five.next_after(5 * MINUTE - 1), Some(5 * MINUTE));
        assert_eq!(every_five.next_after(5 * MINUTE), Some(10 * MINUTE));
        let at_three = cron("0 3 * * *");
        assert_eq!(at_three.next_after(0), Some(180 * MINUTE));
        assert_eq!(at_three.next_after(180 * MINUTE), Some((24 + 3) * 60 * MINUTE));
    }

    #[test]
    fn the_least_gap_is_that_between_its_nearest_times() {
        assert_eq!(cron("*/5 * * * *").least_gap(), Duration::from_secs(300));
        assert_eq!(
            cron("0,10 9-17 * * MON-FRI").least_gap(),
            Duration::from_secs(600)
        );
        assert_eq!(cron("@daily").least_gap(), Duration::from_secs(86_400));
    }

    #[test]
    fn what_isnt_five_fields_or_never_comes_is_refused_in_words() {
        for text in [
            "",
            "* * *",
            "0 */5 * * * *",
            "61 * * * *",
            "every day",
            "@reboot",
            "0 0 1 1 * * 2030",
        ] {
            let error = text.parse::<CronTimes>().unwrap_err();
            assert!(matches!(error, CronTimesError::Syntax { .. }), "{text}: {error}");
            assert!(error.to_string().contains("five fields"), "{error}");
        }
        assert_eq!(
            "0 0 30 2 *".parse::<CronTimes>(),
            Err(CronTimesError::Never("0 0 30 2 *".to_owned()))
        );
    }
}
