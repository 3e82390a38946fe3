//! Counts peers that aren't verified yet, in all and by address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::TurnedAway;

/// Shared by the accept loop and its tickets.
#[derive(Clone, Debug)]
pub(super) struct HalfOpen(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One peer's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    address: IpAddr,
    of: Arc<Inner>,
}

impl HalfOpen {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            most_per_address,
            counts: Mutex::default(),
        }))
    }

    pub(super) fn enter(&self, address: IpAddr) -> Result<Ticket, TurnedAway> {
        let address = network_of(address);
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.0.most {
            return Err(TurnedAway::HalfOpen);
        }
        if counts
            .by_address
            .get(&address)
            .is_some_and(|&count| count >= self.0.most_per_address)
        {
            return Err(TurnedAway::HalfOpenPerAddress);
        }
        counts.all += 1;
        *counts.by_address.entry(address).or_default() += 1;
        Ok(Ticket {
            address,
            of: Arc::clone(&self.0),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// A single IPv6 host has a whole /64 to come from.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_flood_from_one_address_leaves_room_for_others() {
        let half_open = HalfOpen::new(3, 2);
        let held = [
            half_open.enter(address("10.0.0.1")).unwrap(),
            half_open.enter(address("10.0.0.1")).unwrap(),
        ];
        assert_eq!(
            half_open.enter(address("10.0.0.1")).unwrap_err(),
            TurnedAway::HalfOpenPerAddress
        );
        let other = half_open.enter(address("10.0.0.2")).unwrap();
        assert_eq!(
            half_open.enter(address("10.0.0.3")).unwrap_err(),
            TurnedAway::HalfOpen
        );
        drop((held, other));
        assert!(half_open.enter(address("10.0.0.1")).is_ok());
    }

    #[test]
    fn one_ipv6_network_counts_as_one_address() {
        let half_open = HalfOpen::new(3, 1);
        let _held = half_open.enter(address("2001:db8::1")).unwrap();
        assert!(half_open.enter(address("2001:db8::2")).is_err());
        assert!(half_open.enter(address("2001:db8:0:1::2")).is_ok());
    }
}
