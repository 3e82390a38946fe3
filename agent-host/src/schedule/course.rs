//! What a check's past results make of its next run: soft and hard, retries, back-off. Pure.

use picket_proto::agent::v1::{CheckResult, FailureClass, Status};

use super::health::{self, Health};

/// How often, and how soon, a result that isn't ok is looked at again before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Results in a row that aren't ok, from which on the state is hard; at least 1.
    pub attempts: u32,
    /// From the end of a soft result's run to the next one's start. `None`: at the check's next turn.
    pub interval_ms: Option<u64>,
}

impl Default for Retries {
    /// Every result is hard.
    fn default() -> Self {
        Self {
            attempts: 1,
            interval_ms: None,
        }
    }
}

/// How a run went, as far as the schedule minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result is ok.
    Ok,
    /// Anything else that was reported or refused.
    NotOk,
    /// The checker broke down.
    Crashed(FailureClass),
}

impl Outcome {
    /// Of a result.
    #[must_use]
    pub fn of(result: &CheckResult) -> Self {
        if health::is_crash(result.failure()) {
            Self::Crashed(result.failure())
        } else if result.status() == Status::Ok {
            Self::Ok
        } else {
            Self::NotOk
        }
    }
}

/// When a check runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At its next turn.
    Turn,
    /// So long after the run that ended: a soft state is looked at again.
    RetryIn(u64),
    /// So long after the last turn: the checker crashes.
    Apart(u64),
}

/// Where a check stands after its results so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    attempt: u32,
    is_soft: bool,
    health: Health,
}

impl Course {
    /// Where it stands after one more run.
    #[must_use]
    pub fn after(self, outcome: Outcome, retries: Retries) -> Self {
        let crash = match outcome {
            Outcome::Crashed(class) => Some(class),
            Outcome::Ok | Outcome::NotOk => None,
        };
        let attempt = match outcome {
            Outcome::Ok => 0,
            Outcome::NotOk | Outcome::Crashed(_) => self.attempt.saturating_add(1),
        };
        Self {
            attempt,
            is_soft: attempt > 0 && attempt < retries.attempts,
            health: self.health.after(crash),
        }
    }

    /// The same, for a checker or a configuration that is new: what the old one did says nothing about it.
    #[must_use]
    pub fn with_new_checker(self) -> Self {
        Self {
            health: Health::default(),
            ..self
        }
    }

    /// Results in a row that weren't ok; 0 after one that was.
    #[must_use]
    pub fn attempt(self) -> u32 {
        self.attempt
    }

    /// Whether the state counts: ok at once, anything else after its attempts.
    #[must_use]
    pub fn is_hard(self) -> bool {
        !self.is_soft
    }

    /// How its checker does.
    #[must_use]
    pub fn health(self) -> Health {
        self.health
    }

    /// When it runs next; `period_ms` is from one turn to the next.
    #[must_use]
    pub fn next(self, retries: Retries, period_ms: u64) -> Next {
        let spacing = self.health.spacing_ms(period_ms);
        match retries.interval_ms {
            // Trying a checker that crashes again soon is what the back-off is there to prevent.
            _ if spacing > period_ms => Next::Apart(spacing),
            Some(interval_ms) if self.is_soft => Next::RetryIn(interval_ms),
            _ => Next::Turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETRIES: Retries = Retries {
        attempts: 3,
        interval_ms: Some(10_000),
    };

    fn course(outcomes: &[Outcome]) -> Course {
        outcomes.iter().fold(Course::default(), |course, &outcome| {
            course.after(outcome, RETRIES)
        })
    }

    #[test]
    fn a_result_is_hard_after_its_attempts_and_retried_until_then() {
        let seen: Vec<_> = (1..=4)
            .map(|count| {
                let course = course(&vec![Outcome::NotOk; count]);
                (course.attempt(), course.is_hard(), course.next(RETRIES, 60_000))
            })
            .collect();
        assert_eq!(
            seen,
            [
                (1, false, Next::RetryIn(10_000)),
                (2, false, Next::RetryIn(10_000)),
                (3, true, Next::Turn),
                (4, true, Next::Turn),
            ]
        );
    }

    #[test]
    fn an_ok_result_is_hard_at_once_and_ends_the_retries() {
        let course = course(&[Outcome::NotOk, Outcome::Ok]);
        assert_eq!(
            (course.attempt(), course.is_hard(), course.next(RETRIES, 60_000)),
            (0, true, Next::Turn)
        );
    }

    #[test]
    fn without_retries_every_result_is_hard() {
        let once = Course::default().after(Outcome::NotOk, Retries::default());
        assert!(once.is_hard());
        assert_eq!(once.next(Retries::default(), 60_000), Next::Turn);
    }

    #[test]
    fn attempts_without_an_interval_are_the_checks_own_turns() {
        let retries = Retries {
            interval_ms: None,
            ..RETRIES
        };
        let once = Course::default().after(Outcome::NotOk, retries);
        assert!(!once.is_hard());
        assert_eq!(once.next(retries, 60_000), Next::Turn);
    }

    #[test]
    fn a_checker_that_crashes_is_put_apart_even_while_the_state_is_soft() {
        let retries = Retries {
            attempts: 10,
            ..RETRIES
        };
        let crashed = (0..3).fold(Course::default(), |course, _| {
            course.after(Outcome::Crashed(FailureClass::Crash), retries)
        });
        assert!(!crashed.is_hard());
        assert_eq!(crashed.next(retries, 60_000), Next::Apart(120_000));
        let replaced = crashed.with_new_checker();
        assert_eq!(replaced.next(retries, 60_000), Next::RetryIn(10_000));
        assert_eq!(replaced.attempt(), 3);
    }

    proptest! {
        #[test]
        fn the_attempt_counts_results_in_a_row_that_arent_ok(
            ok in proptest::collection::vec(any::<bool>(), 1..60),
            attempts in 1u32..10,
        ) {
            let retries = Retries { attempts, ..RETRIES };
            let mut in_row = 0;
            let mut course = Course::default();
            for ok in ok {
                in_row = if ok { 0 } else { in_row + 1 };
                course = course.after(if ok { Outcome::Ok } else { Outcome::NotOk }, retries);
                prop_assert_eq!(course.attempt(), in_row);
                prop_assert_eq!(course.is_hard(), in_row == 0 || in_row >= attempts);
                prop_assert_eq!(course.next(retries, 60_000) == Next::Turn, course.is_hard());
            }
        }
    }
}
