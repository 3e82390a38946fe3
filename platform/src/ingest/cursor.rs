//! Does a batch follow what the platform has of its stream? A function of where the platform stands and of what is
//! offered, so that storing a result twice or losing one is impossible by what can be read here.

/// What is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The first sequence number inside, from 1 on.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// What the agent says that it has lost.
    pub lost: Vec<Lost>,
}

/// A range that will never come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its first sequence number.
    pub first: u64,
    /// Its last one.
    pub last: u64,
    /// Why; a word that programs can match.
    pub cause: &'static str,
}

impl Lost {
    /// How many results it is.
    #[must_use]
    pub const fn count(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

/// The cause of what an agent doesn't have and doesn't account for: a spool from before the platform knew it.
pub const UNACCOUNTED: &str = "unaccounted";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Store it, and record these ranges as lost.
    Commit {
        /// In order, without overlap; together with the batch they follow the position without a hole.
        lost: Vec<Lost>,
    },
    /// All of it is here.
    Duplicate,
    /// It doesn't follow: the next one has to begin right after the position.
    Gap,
}

/// Decides. `position` is the last sequence number of the batch's stream that is stored or recorded as lost; `None` where
/// the stream is new.
#[must_use]
pub fn decide(position: Option<u64>, offer: &Offer) -> Decision {
    let known = position.unwrap_or(0);
    if offer.last <= known {
        return Decision::Duplicate;
    }
    if offer.first <= known {
        // Half of it is here. The rest comes again in a batch of its own: a sealed batch is stored whole or not at all.
        return Decision::Gap;
    }
    let (lost, whole) = account(known + 1, offer.first - 1, &offer.lost, position.is_none());
    if whole {
        Decision::Commit { lost }
    } else {
        Decision::Gap
    }
}

/// Accounts for `from..=to` by the agent's losses. The rest is `UNACCOUNTED` where `fill`; else it is not whole.
fn account(from: u64, to: u64, lost: &[Lost], fill: bool) -> (Vec<Lost>, bool) {
    let mut ranges: Vec<&Lost> = lost.iter().filter(|range| range.first <= range.last).collect();
    ranges.sort_by_key(|range| range.first);
    let mut accounted = Vec::new();
    let mut next = from;
    let mut whole = true;
    for range in ranges {
        if next > to || range.first > to {
            break;
        }
        if range.last < next {
            continue;
        }
        if range.first > next {
            whole &= fill;
            accounted.push(Lost {
                first: next,
                last: range.first - 1,
                cause: UNACCOUNTED,
            });
        }
        let first = range.first.max(next);
        let last = range.last.min(to);
        accounted.push(Lost {
            first,
            last,
            cause: range.cause,
        });
        next = last + 1;
    }
    if next <= to {
        whole &= fill;
        accounted.push(Lost {
            first: next,
            last: to,
            cause: UNACCOUNTED,
        });
    }
    (accounted, whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(first: u64, last: u64) -> Offer {
        Offer {
            first,
            last,
            lost: Vec::new(),
        }
    }

    fn lost(first: u64, last: u64) -> Lost {
        Lost {
            first,
            last,
            cause: "quota",
        }
    }

    #[test]
    fn a_batch_right_after_the_position_is_committed() {
        assert_eq!(
            decide(Some(10), &offer(11, 20)),
            Decision::Commit { lost: vec![] }
        );
    }

    #[test]
    fn a_batch_that_is_here_is_a_duplicate() {
        assert_eq!(decide(Some(20), &offer(11, 20)), Decision::Duplicate);
    }

    #[test]
    fn a_batch_that_is_half_here_is_asked_for_again() {
        assert_eq!(decide(Some(15), &offer(11, 20)), Decision::Gap);
    }

    #[test]
    fn a_hole_without_an_account_is_a_gap() {
        assert_eq!(decide(Some(5), &offer(11, 20)), Decision::Gap);
        let partly = Offer {
            lost: vec![lost(6, 8)],
            ..offer(11, 20)
        };
        assert_eq!(decide(Some(5), &partly), Decision::Gap);
    }

    #[test]
    fn a_hole_that_the_agent_accounts_for_is_recorded() {
        let accounted = Offer {
            lost: vec![lost(1, 7), lost(8, 10)],
            ..offer(11, 20)
        };
        assert_eq!(
            decide(Some(5), &accounted),
            Decision::Commit {
                lost: vec![lost(6, 7), lost(8, 10)]
            }
        );
    }

    #[test]
    fn a_new_stream_may_begin_anywhere_and_the_rest_is_recorded() {
        assert_eq!(decide(None, &offer(1, 3)), Decision::Commit { lost: vec![] });
        let unaccounted = Lost {
            first: 1,
            last: 10,
            cause: UNACCOUNTED,
        };
        assert_eq!(
            decide(None, &offer(11, 20)),
            Decision::Commit {
                lost: vec![unaccounted]
            }
        );
    }

    fn any_offer() -> impl Strategy<Value = Offer> {
        let range = (1..60_u64, 0..12_u64).prop_map(|(first, more)| lost(first, first + more));
        (1..60_u64, 0..12_u64, proptest::collection::vec(range, 0..4)).prop_map(|(first, more, lost)| Offer {
            first,
            last: first + more,
            lost,
        })
    }

    proptest! {
        #[test]
        fn whatever_is_offered_each_number_is_stored_or_lost_exactly_once_and_without_a_hole(
            offers in proptest::collection::vec(any_offer(), 0..60)
        ) {
            let mut position = None;
            let mut next = 1;
            for offer in offers {
                match decide(position, &offer) {
                    Decision::Commit { lost } => {
                        for range in &lost {
                            prop_assert_eq!(range.first, next);
                            prop_assert!(range.last >= range.first);
                            next = range.last + 1;
                        }
                        prop_assert_eq!(offer.first, next);
                        next = offer.last + 1;
                        position = Some(offer.last);
                    }
                    Decision::Duplicate => prop_assert!(offer.last < next),
                    Decision::Gap => prop_assert!(offer.first != next),
                }
            }
        }
    }
}
