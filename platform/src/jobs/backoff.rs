//! When a failed job is tried again.

/// The first wait. A fault that is over in a second is common (a lock, a restart).
const BASE_MS: i64 = 1_000;

/// The longest wait: an hour, so that a job is tried within the hour in which its cause went away.
const LONGEST_MS: i64 = 3_600_000;

/// How long to wait after attempt `attempt` (from 1 on) failed. Doubles each time up to an hour; `jitter`, from 0 to 1,
/// spreads the upper half, so that jobs that failed together aren't tried together.
#[must_use]
pub fn delay_ms(attempt: i64, jitter: f64) -> i64 {
    let doublings = u32::try_from(attempt.clamp(1, 32) - 1).unwrap_or(0);
    let full = BASE_MS
        .saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX))
        .min(LONGEST_MS);
    let half = full / 2;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "at most an hour in milliseconds"
    )]
    let spread = (half as f64 * jitter.clamp(0.0, 1.0)) as i64;
    half + spread
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_between_half_and_all_of_its_step_and_never_over_an_hour(attempt in i64::MIN..i64::MAX, jitter in -1.0..2.0_f64) {
            let wait = delay_ms(attempt, jitter);
            prop_assert!((BASE_MS / 2..=LONGEST_MS).contains(&wait));
        }

        #[test]
        fn a_later_attempt_never_waits_less(attempt in 1..40_i64, jitter in 0.0..1.0_f64) {
            prop_assert!(delay_ms(attempt, jitter) <= delay_ms(attempt + 1, jitter));
        }
    }
}
