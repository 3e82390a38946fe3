//! Ranges of results that are gone, and why.

use picket_proto::agent::v1::{LossCause, LostRange};
use serde::{Deserialize, Serialize};

/// Why results are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The spool was full and dropped its oldest.
    Quota,
    /// The disk gave back other bytes than were written.
    Corruption,
    /// The disk took no more.
    DiskFull,
}

impl Cause {
    /// As metrics and people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Corruption => "corruption",
            Self::DiskFull => "disk_full",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Quota => 1,
            Self::Corruption => 2,
            Self::DiskFull => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Quota),
            2 => Some(Self::Corruption),
            3 => Some(Self::DiskFull),
            _ => None,
        }
    }
}

/// A range of sequence numbers whose results are gone, both ends inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The first one.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
    /// Why.
    pub cause: Cause,
}

impl Lost {
    /// How many results these are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.last_seq.saturating_sub(self.first_seq).saturating_add(1)
    }
}

impl From<Lost> for LostRange {
    fn from(lost: Lost) -> Self {
        let cause = match lost.cause {
            Cause::Quota => LossCause::Quota,
            Cause::Corruption => LossCause::Corruption,
            Cause::DiskFull => LossCause::DiskFull,
        };
        Self {
            first_seq: lost.first_seq,
            last_seq: lost.last_seq,
            cause: cause.into(),
        }
    }
}

/// More ranges than this are joined, the two nearest first: a spool that loses all the time still explains itself in a
/// header of bounded size.
const MAX_RANGES: usize = 256;

/// The losses before what a spool still holds, in order and without overlaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Losses(Vec<Lost>);

impl Losses {
    /// Adds a range; what is already explained keeps its first explanation.
    pub fn add(&mut self, lost: Lost) {
        let mut next = lost.first_seq;
        let mut pieces = Vec::new();
        for known in &self.0 {
            if known.last_seq < next || known.first_seq > lost.last_seq {
                continue;
            }
            if known.first_seq > next {
                pieces.push(Lost {
                    first_seq: next,
                    last_seq: known.first_seq - 1,
                    cause: lost.cause,
                });
            }
            next = known.last_seq + 1;
        }
        if next <= lost.last_seq {
            pieces.push(Lost {
                first_seq: next,
                last_seq: lost.last_seq,
                cause: lost.cause,
            });
        }
        self.0.extend(pieces);
        self.0.sort_by_key(|lost| lost.first_seq);
        self.join();
    }

    fn join(&mut self) {
        let mut joined: Vec<Lost> = Vec::with_capacity(self.0.len());
        for lost in self.0.drain(..) {
            match joined.last_mut() {
                Some(last) if last.cause == lost.cause && last.last_seq + 1 == lost.first_seq => {
                    last.last_seq = lost.last_seq;
                }
                _ => joined.push(lost),
            }
        }
        let excess = joined.len().saturating_sub(MAX_RANGES);
        // The oldest explanations go first; a gap without one is still reported, as corruption.
        joined.drain(..excess);
        self.0 = joined;
    }

    /// Forgets what ends before `seq`.
    pub fn forget_before(&mut self, seq: u64) {
        self.0.retain(|lost| lost.last_seq >= seq);
    }

    /// Explains every number from `first` to `last`: known losses first. Of the rest, what was acknowledged (up to
    /// `acknowledged`) was let go of to make room, and what wasn't can only have been lost by the disk.
    #[must_use]
    pub fn explain(&self, first: u64, last: u64, acknowledged: u64) -> Vec<Lost> {
        let mut all = Self::default();
        for known in &self.0 {
            all.add_clipped(Lost {
                first_seq: known.first_seq.max(first),
                last_seq: known.last_seq.min(last),
                ..*known
            });
        }
        all.add_clipped(Lost {
            first_seq: first,
            last_seq: last.min(acknowledged),
            cause: Cause::Quota,
        });
        all.add_clipped(Lost {
            first_seq: first,
            last_seq: last,
            cause: Cause::Corruption,
        });
        all.0
    }

    fn add_clipped(&mut self, lost: Lost) {
        if lost.first_seq <= lost.last_seq {
            self.add(lost);
        }
    }

    /// The ranges, in order.
    #[must_use]
    pub fn ranges(&self) -> &[Lost] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(first_seq: u64, last_seq: u64, cause: Cause) -> Lost {
        Lost {
            first_seq,
            last_seq,
            cause,
        }
    }

    #[test]
    fn neighbours_of_one_cause_are_joined() {
        let mut losses = Losses::default();
        losses.add(lost(1, 10, Cause::Quota));
        losses.add(lost(11, 20, Cause::Quota));
        losses.add(lost(21, 22, Cause::DiskFull));
        assert_eq!(
            losses.ranges(),
            [lost(1, 20, Cause::Quota), lost(21, 22, Cause::DiskFull)]
        );
    }

    #[test]
    fn the_first_explanation_stays() {
        let mut losses = Losses::default();
        losses.add(lost(5, 6, Cause::DiskFull));
        losses.add(lost(1, 10, Cause::Quota));
        assert_eq!(
            losses.ranges(),
            [
                lost(1, 4, Cause::Quota),
                lost(5, 6, Cause::DiskFull),
                lost(7, 10, Cause::Quota)
            ]
        );
    }

    #[test]
    fn every_number_of_a_gap_is_explained_once() {
        let mut losses = Losses::default();
        losses.add(lost(1, 4, Cause::Quota));
        assert_eq!(
            losses.explain(3, 6, 0),
            [lost(3, 4, Cause::Quota), lost(5, 6, Cause::Corruption)]
        );
        assert_eq!(
            losses.explain(5, 6, 5),
            [lost(5, 5, Cause::Quota), lost(6, 6, Cause::Corruption)]
        );
        assert!(losses.explain(7, 6, 0).is_empty());
    }

    #[test]
    fn explanations_are_bounded() {
        let mut losses = Losses::default();
        for seq in 1..2_000 {
            losses.add(lost(seq * 2, seq * 2, Cause::Quota));
        }
        assert_eq!(losses.ranges().len(), MAX_RANGES);
    }
}
