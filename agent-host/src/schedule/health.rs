//! Whether a check's checker gives reports or crashes, and how far its runs are put apart while it crashes. Pure.

use std::fmt;

use picket_proto::agent::v1::FailureClass;

use crate::runner::convert::failure_word;

/// Crashes in a row after which runs are put apart: one is bad luck, two may be a restart of what is checked.
pub const PATIENCE: u32 = 3;
/// Runs that the health speaks of.
pub const WINDOW: u32 = 20;
/// The farthest apart, as a multiple of the interval.
const MOST_TIMES: u64 = 16;
/// A check that runs less often than this isn't put farther apart: a day without a result is no answer to a crash.
const MOST_MS: u64 = 3_600_000;

/// Whether a failure is the checker's own breaking down. A refusal, a wrong configuration or what a checker itself calls
/// a failure isn't: running it again costs little and may well go better.
#[must_use]
pub fn is_crash(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::Crash
            | FailureClass::Timeout
            | FailureClass::Cpu
            | FailureClass::Memory
            | FailureClass::BadOutput
    )
}

/// What a check's last runs say about its checker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// One bit for each of the last runs, the newest lowest; set where it crashed.
    crashed: u32,
    /// How many of the bits are runs.
    runs: u32,
    in_row: u32,
    /// The newest crash's.
    class: FailureClass,
}

impl Health {
    /// The health after one more run, which crashed or not.
    #[must_use]
    pub fn after(self, crash: Option<FailureClass>) -> Self {
        let mask = (1 << WINDOW) - 1;
        Self {
            crashed: (self.crashed << 1 | u32::from(crash.is_some())) & mask,
            runs: (self.runs + 1).min(WINDOW),
            in_row: if crash.is_some() {
                self.in_row.saturating_add(1)
            } else {
                0
            },
            class: crash.unwrap_or(self.class),
        }
    }

    /// Whether runs are put apart.
    #[must_use]
    pub fn is_failing(self) -> bool {
        self.in_row >= PATIENCE
    }

    /// Crashes in a row up to the newest run.
    #[must_use]
    pub fn crashes_in_row(self) -> u32 {
        self.in_row
    }

    /// From one run to the next, where they are `period_ms` apart otherwise: twice that at the third crash in a row, then
    /// doubled at each further one up to 16 times, and at most an hour.
    #[must_use]
    pub fn spacing_ms(self, period_ms: u64) -> u64 {
        if !self.is_failing() {
            return period_ms;
        }
        let doublings = (self.in_row - PATIENCE + 1).min(MOST_TIMES.ilog2());
        period_ms
            .saturating_mul(1 << doublings)
            .min(MOST_MS.max(period_ms))
    }

    /// The health of a checker: that of all its checks together. `None` where none has run.
    #[must_use]
    pub fn of_checker(checks: impl IntoIterator<Item = Self>) -> Option<CheckerHealth> {
        let mut all = CheckerHealth::default();
        for health in checks {
            all.runs += health.runs;
            all.crashed += health.crashed.count_ones();
            if health.is_failing() {
                all.is_failing = true;
                all.class = health.class;
            }
        }
        (all.runs > 0).then_some(all)
    }
}

/// What the last runs of one or several checks say, in words: `healthy`, or
/// `failing: 4 of the last 6 runs crashed (timeout)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckerHealth {
    runs: u32,
    crashed: u32,
    is_failing: bool,
    class: FailureClass,
}

impl fmt::Display for CheckerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_failing {
            return f.write_str("healthy");
        }
        write!(
            f,
            "failing: {} of the last {} runs crashed ({})",
            self.crashed,
            self.runs,
            failure_word(self.class).unwrap_or("crash")
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crashes(count: usize) -> Health {
        (0..count).fold(Health::default(), |health, _| {
            health.after(Some(FailureClass::Timeout))
        })
    }

    fn words(health: Health) -> String {
        Health::of_checker([health]).unwrap().to_string()
    }

    #[test]
    fn three_crashes_in_a_row_put_runs_apart_and_one_good_run_ends_it() {
        let spacings: Vec<_> = (0..9).map(|count| crashes(count).spacing_ms(1_000)).collect();
        assert_eq!(
            spacings,
            [1_000, 1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]
        );
        let recovered = crashes(8).after(None);
        assert!(!recovered.is_failing());
        assert_eq!(recovered.spacing_ms(1_000), 1_000);
        assert_eq!(
            recovered.after(Some(FailureClass::Crash)).spacing_ms(1_000),
            1_000
        );
    }

    #[test]
    fn runs_are_at_most_an_hour_apart_unless_their_interval_is_longer() {
        assert_eq!(crashes(20).spacing_ms(600_000), 3_600_000);
        assert_eq!(crashes(20).spacing_ms(7_200_000), 7_200_000);
    }

    #[test]
    fn health_is_said_with_counts_and_class() {
        assert_eq!(Health::of_checker([Health::default()]), None);
        assert_eq!(words(Health::default().after(None)), "healthy");
        assert_eq!(words(crashes(2)), "healthy");
        assert_eq!(
            words(crashes(3)),
            "failing: 3 of the last 3 runs crashed (timeout)"
        );
        let mixed = crashes(30).after(None).after(Some(FailureClass::Cpu));
        assert_eq!(words(mixed), "healthy");
        let again = mixed
            .after(Some(FailureClass::Cpu))
            .after(Some(FailureClass::Cpu));
        assert_eq!(words(again), "failing: 19 of the last 20 runs crashed (cpu)");
        let both = Health::of_checker([crashes(3), Health::default().after(None)]);
        assert_eq!(
            both.unwrap().to_string(),
            "failing: 3 of the last 4 runs crashed (timeout)"
        );
    }

    #[test]
    fn only_what_the_checker_broke_by_itself_is_a_crash() {
        for class in [
            FailureClass::Denied,
            FailureClass::InvalidConfig,
            FailureClass::NoChecker,
            FailureClass::Failed,
            FailureClass::Unsupported,
            FailureClass::Unspecified,
        ] {
            assert!(!is_crash(class), "{class:?}");
        }
    }

    proptest! {
        #[test]
        fn runs_are_never_closer_than_their_period_nor_farther_than_16_of_them(
            crashed in proptest::collection::vec(any::<bool>(), 0..40),
            period in 1_000u64..604_800_000,
        ) {
            let health = crashed.iter().fold(Health::default(), |health, &crashed| {
                health.after(crashed.then_some(FailureClass::Crash))
            });
            let spacing = health.spacing_ms(period);
            prop_assert!(spacing >= period && spacing <= period * 16);
            prop_assert_eq!(spacing == period, !health.is_failing() || period >= MOST_MS);
            if crashed.last() == Some(&false) {
                prop_assert_eq!(spacing, period);
            }
        }
    }
}
