//! How often somebody may try to sign in. A token has 256 bits and can't be guessed; this keeps attempts from filling the
//! log and the database's time, and a misconfigured script from hammering.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Attempts from one address, or from all, in one [`WINDOW`]. The second is so much larger that a handful of addresses
/// can't keep everybody else out.
const PER_ADDRESS: u32 = 10;
const OVERALL: u32 = 1_200;
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered; with more than that in one window, the overall limit has long ended it.
const MAX_ADDRESSES: usize = OVERALL as usize;

/// Counts attempts by address.
#[derive(Debug, Default)]
pub struct Throttle {
    window: Option<Instant>,
    overall: u32,
    by_address: HashMap<Option<IpAddr>, u32>,
}

impl Throttle {
    /// Whether one more attempt is allowed now; if not, how long to wait.
    ///
    /// # Errors
    /// The time until the window ends.
    pub fn attempt(&mut self, from: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let began = match self.window {
            Some(began) if now.saturating_duration_since(began) < WINDOW => began,
            _ => {
                *self = Self {
                    window: Some(now),
                    ..Self::default()
                };
                now
            }
        };
        let wait = WINDOW.saturating_sub(now.saturating_duration_since(began));
        if self.overall >= OVERALL || self.by_address.len() >= MAX_ADDRESSES {
            return Err(wait);
        }
        let count = self.by_address.entry(from.map(network)).or_default();
        if *count >= PER_ADDRESS {
            return Err(wait);
        }
        *count += 1;
        self.overall += 1;
        Ok(())
    }
}

/// An IPv6 customer has a whole /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_eleventh_attempt_in_a_minute_waits_and_others_do_not() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..PER_ADDRESS {
            assert_eq!(throttle.attempt(ip("192.0.2.1"), now), Ok(()));
        }
        assert_eq!(
            throttle.attempt(ip("192.0.2.1"), now + Duration::from_secs(20)),
            Err(Duration::from_secs(40))
        );
        assert_eq!(throttle.attempt(ip("192.0.2.2"), now), Ok(()));
        assert_eq!(throttle.attempt(ip("192.0.2.1"), now + WINDOW), Ok(()));
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_budget() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..PER_ADDRESS {
            assert_eq!(throttle.attempt(ip(&format!("2001:db8::{n}")), now), Ok(()));
        }
        assert!(throttle.attempt(ip("2001:db8::ffff"), now).is_err());
    }

    #[test]
    fn all_addresses_together_have_a_limit() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..OVERALL {
            assert_eq!(
                throttle.attempt(ip(&format!("10.0.{}.{}", n / 256, n % 256)), now),
                Ok(())
            );
        }
        assert!(throttle.attempt(ip("192.0.2.1"), now).is_err());
    }
}
