//! How long to wait before the next try: exponential, capped, with full jitter.
//!
//! Full jitter (a uniform draw from nothing to the ceiling) spreads a thousand agents that failed together better than
//! any narrower draw; see "Exponential Backoff And Jitter" in the AWS Architecture Blog. The random source is passed in.

use std::time::Duration;

use rand::Rng;

/// A rule for waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits at most `base` after the first failure, twice as long after each further one, and never longer than `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest wait after so many failures in a row; zero after none.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        // 2^31 times any base is above every cap in use, and the shift can't overflow.
        let factor = 1_u32 << doublings.min(31);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// A wait after so many failures in a row: uniform between zero and [`Self::ceiling`].
    pub fn delay(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        self.ceiling(failures).mul_f64(rng.random_range(0.0..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

    #[test]
    fn ceiling_doubles_until_the_cap() {
        let ceilings: Vec<u64> = (0..=8)
            .map(|failures| BACKOFF.ceiling(failures).as_secs())
            .collect();
        assert_eq!(ceilings, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn jitter_is_full() {
        let mut rng = StdRng::seed_from_u64(7);
        let delays: Vec<Duration> = (0..1000).map(|_| BACKOFF.delay(7, &mut rng)).collect();
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(6)));
        assert!(delays.iter().any(|delay| *delay > Duration::from_secs(54)));
    }

    proptest! {
        #[test]
        fn delay_is_never_above_the_ceiling_nor_the_cap(failures in any::<u32>(), seed in any::<u64>()) {
            let mut rng = StdRng::seed_from_u64(seed);
            let delay = BACKOFF.delay(failures, &mut rng);
            prop_assert!(delay <= BACKOFF.ceiling(failures));
            prop_assert!(delay <= Duration::from_secs(60));
        }

        #[test]
        fn ceiling_never_falls_with_more_failures(failures in 0_u32..1000) {
            prop_assert!(BACKOFF.ceiling(failures) <= BACKOFF.ceiling(failures + 1));
        }
    }
}
