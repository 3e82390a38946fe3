//! When a check's newest result is too old to be called its state. "Stale" is a state of its own: nobody may read an
//! old "ok" as "ok".

use crate::clock::UnixMs;

/// What a check or an agent is in, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It fails.
    Critical,
    /// Nobody knows: its agent can't be reached, or its results stopped coming.
    Stale,
    /// It is close to failing.
    Warning,
    /// The check ran and can't tell, or there is no result yet.
    Unknown,
    /// All is well.
    Ok,
}

impl State {
    /// All of them, worst first.
    pub const ALL: [Self; 5] = [
        Self::Critical,
        Self::Stale,
        Self::Warning,
        Self::Unknown,
        Self::Ok,
    ];

    /// The word for it, in the API, in URLs and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Stale => "stale",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
        }
    }

    /// Reads [`State::as_str`]'s word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The state of a status as the database has it, unless it is stale.
    #[must_use]
    pub fn of_status(status: &str, stale: bool) -> Self {
        match status {
            _ if stale => Self::Stale,
            "ok" => Self::Ok,
            "warning" => Self::Warning,
            "critical" => Self::Critical,
            _ => Self::Unknown,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Room for jitter, queueing and the way to the platform.
const GRACE_MS: i64 = 15_000;

/// Whether a check is stale: its newest result is older, by the platform's clock at its arrival, than three of the check's
/// intervals (one lost run and one late one are no news), two of the agent's polls, and some grace. All the checks of an
/// unreachable agent are. `is_stale_sql!` says the same.
#[must_use]
pub const fn is_stale(
    agent_unreachable: bool,
    received_at: UnixMs,
    check_interval_ms: i64,
    poll_interval_ms: i64,
    now: UnixMs,
) -> bool {
    let overdue = now
        .saturating_sub(received_at)
        .saturating_sub(poll_interval_ms.saturating_mul(2))
        .saturating_sub(GRACE_MS);
    // Divided, not multiplied: an interval is whatever an agent says.
    agent_unreachable || overdue / 3 > check_interval_ms
}

/// [`is_stale`] but for the agent's reachability, as a condition on `check_state c` and `agent a`; `$1` is now.
macro_rules! is_stale_sql {
    () => {
        "(($1 - c.received_at - a.interval_ms * 2 - 15000) / 3 > c.interval_ms)"
    };
}
pub(crate) use is_stale_sql;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_of_an_unreachable_agent_is_stale_however_fresh() {
        assert!(is_stale(true, 1000, 30_000, 10_000, 1000));
    }

    #[test]
    fn a_result_is_fresh_until_its_patience_is_over() {
        // 3 × 30 s + 2 × 10 s + 15 s.
        assert!(!is_stale(false, 0, 30_000, 10_000, 125_000));
        assert!(is_stale(false, 0, 30_000, 10_000, 125_003));
    }

    #[test]
    fn an_absurd_interval_overflows_nothing() {
        assert!(!is_stale(false, 0, i64::MAX, i64::MAX, i64::MAX - 1));
    }

    #[test]
    fn the_sql_has_the_same_grace() {
        assert!(is_stale_sql!().contains(&format!("- {GRACE_MS})")));
    }

    #[test]
    fn critical_and_stale_come_before_the_others() {
        let mut states = [
            State::Ok,
            State::Unknown,
            State::Stale,
            State::Warning,
            State::Critical,
        ];
        states.sort_unstable();
        assert_eq!(states, State::ALL);
    }
}
