//! Whether an agent can be reached, as an explicit state machine. Pure: time is passed in.
//!
//! ```text
//!            success                    failure                    failure, `unreachable_after`
//! pending ──────────────▶ reachable ──────────────▶ suspect ──────────────────────────────▶ unreachable
//!    └──────────── failure ────────────────────────────▲ │                                       │
//!                            ▲◀──────── success ─────────┘◀────────────── success ───────────────┘
//! ```
//!
//! Only a failed attempt makes an agent unreachable, never the passing of time alone: a gateway that was too busy to try
//! has learnt nothing about the agent.

use std::fmt;
use std::time::Duration;

use picket_identity::verify::Reason;
use picket_proto::platform::v1 as proto;

use crate::clock::BootTime;
use crate::upkeep;

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has tried it yet, or it waits to be enrolled.
    Pending,
    /// The last attempt succeeded.
    Reachable,
    /// The last attempt failed, and it isn't long since one succeeded.
    Suspect,
    /// Attempts have failed for longer than the agent may stay away.
    Unreachable,
}

impl State {
    /// All of them, in the order in which an agent goes through them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Reachable, Self::Suspect, Self::Unreachable];

    /// The word for logs, metrics and people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Reachable => "reachable",
            Self::Suspect => "suspect",
            Self::Unreachable => "unreachable",
        }
    }
}

impl From<State> for proto::Reachability {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Reachable => Self::Reachable,
            State::Suspect => Self::Suspect,
            State::Unreachable => Self::Unreachable,
        }
    }
}

impl From<proto::Reachability> for State {
    fn from(state: proto::Reachability) -> Self {
        match state {
            proto::Reachability::Unspecified | proto::Reachability::Pending => Self::Pending,
            proto::Reachability::Reachable => Self::Reachable,
            proto::Reachability::Suspect => Self::Suspect,
            proto::Reachability::Unreachable => Self::Unreachable,
        }
    }
}

/// Why an attempt failed: a word that is the same in logs, metrics, alerts and claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Nothing listens at the agent's endpoint.
    Refused,
    /// No answer in time.
    Timeout,
    /// The endpoint's name doesn't resolve.
    NameResolution,
    /// The network says that it can't carry packets there, or cut the connection.
    Network,
    /// The identity verifier refused the peer, for this reason.
    Identity(Reason),
    /// The agent refused this gateway's certificate.
    GatewayRefused,
    /// The peer doesn't speak the agent's protocol, or breaks it.
    Protocol,
    /// The platform refused the agent's results.
    ResultsRefused,
    /// It got no certificate, for this reason.
    Upkeep(upkeep::Cause),
}

impl Cause {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::NameResolution => "name_resolution",
            Self::Network => "network",
            Self::Identity(reason) => reason.as_str(),
            Self::GatewayRefused => "gateway_refused",
            Self::Protocol => "protocol",
            Self::ResultsRefused => "results_refused",
            Self::Upkeep(cause) => cause.as_str(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: {detail}")]
pub struct Failure {
    /// The kind.
    pub cause: Cause,
    /// For people: what was expected, what was found.
    pub detail: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
        }
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For measuring.
    pub boot: BootTime,
    /// For telling people.
    pub unix_ms: u64,
}

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self {
            boot: BootTime::now(),
            unix_ms: crate::clock::unix_ms(),
        }
    }
}

/// The state machine of one agent.
#[derive(Clone, Debug)]
pub struct Reachability {
    state: State,
    failure: Option<Failure>,
    since_unix_ms: u64,
    /// The last success, or when this gateway began to watch: it blames an agent only for what it saw itself.
    last_contact: BootTime,
    failures: u32,
}

impl Reachability {
    /// Begins to watch an agent that the platform believes to be in `state`.
    pub fn taken_over(state: State, at: Moment) -> Self {
        Self {
            state,
            failure: None,
            since_unix_ms: at.unix_ms,
            last_contact: at.boot,
            failures: 0,
        }
    }

    /// An attempt succeeded. Whether that is news.
    pub fn succeeded(&mut self, at: Moment) -> bool {
        self.last_contact = at.boot;
        self.failures = 0;
        self.failure = None;
        self.enter(State::Reachable, at)
    }

    /// An attempt failed. Whether that is news: another state, or another cause.
    pub fn failed(&mut self, at: Moment, failure: Failure, unreachable_after: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        let another_cause = self
            .failure
            .as_ref()
            .is_none_or(|before| before.cause != failure.cause);
        self.failure = Some(failure);
        let overdue = at.boot.since(self.last_contact) >= unreachable_after;
        let next = match self.state {
            State::Unreachable => State::Unreachable,
            _ if overdue => State::Unreachable,
            _ => State::Suspect,
        };
        self.enter(next, at) || another_cause
    }

    /// The agent waits to be enrolled, and this is why it isn't yet. That is no fault of the agent's: it is neither suspect
    /// nor unreachable, however long it takes. Whether it is news.
    pub fn awaits(&mut self, at: Moment, failure: Failure) -> bool {
        self.last_contact = at.boot;
        let another_cause = self
            .failure
            .as_ref()
            .is_none_or(|before| before.cause != failure.cause);
        self.failure = Some(failure);
        self.enter(State::Pending, at) || another_cause
    }

    fn enter(&mut self, state: State, at: Moment) -> bool {
        if self.state == state {
            return false;
        }
        self.state = state;
        self.since_unix_ms = at.unix_ms;
        true
    }

    /// Where the agent stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when, in Unix time; for a state that was taken over, since the takeover.
    pub fn since_unix_ms(&self) -> u64 {
        self.since_unix_ms
    }

    /// The last failure, unless an attempt has succeeded since.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Failed attempts in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When a failed attempt will make the agent unreachable; `None` once it is.
    pub fn unreachable_at(&self, unreachable_after: Duration) -> Option<BootTime> {
        (self.state != State::Unreachable).then(|| self.last_contact + unreachable_after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        Moment {
            boot: BootTime::from_millis(seconds * 1_000),
            unix_ms: 1_700_000_000_000 + seconds * 1_000,
        }
    }

    fn refused() -> Failure {
        Failure::new(Cause::Refused, "10.0.0.4:7443: connection refused")
    }

    #[test]
    fn first_success_makes_a_pending_agent_reachable() {
        let mut agent = Reachability::taken_over(State::Pending, at(0));
        assert!(agent.succeeded(at(1)));
        assert_eq!(agent.state(), State::Reachable);
        assert_eq!(agent.since_unix_ms(), at(1).unix_ms);
        assert!(!agent.succeeded(at(11)), "a second success is no news");
        assert_eq!(agent.since_unix_ms(), at(1).unix_ms);
    }

    #[test]
    fn one_failure_makes_an_agent_suspect_and_a_success_clears_it() {
        let mut agent = Reachability::taken_over(State::Reachable, at(0));
        assert!(agent.failed(at(10), refused(), AFTER));
        assert_eq!(agent.state(), State::Suspect);
        assert_eq!(agent.failure(), Some(&refused()));
        assert!(agent.succeeded(at(20)));
        assert_eq!(agent.state(), State::Reachable);
        assert_eq!(agent.failure(), None);
        assert_eq!(agent.failures(), 0);
    }

    #[test]
    fn failures_for_longer_than_the_timeout_make_an_agent_unreachable() {
        let mut agent = Reachability::taken_over(State::Reachable, at(0));
        agent.succeeded(at(100));
        agent.failed(at(159), refused(), AFTER);
        assert_eq!(agent.state(), State::Suspect);
        assert_eq!(agent.unreachable_at(AFTER), Some(at(160).boot));
        assert!(agent.failed(at(160), refused(), AFTER));
        assert_eq!(agent.state(), State::Unreachable);
        assert_eq!(agent.unreachable_at(AFTER), None);
    }

    #[test]
    fn another_cause_is_news_and_the_same_cause_is_not() {
        let mut agent = Reachability::taken_over(State::Reachable, at(0));
        assert!(agent.failed(at(1), refused(), AFTER));
        assert!(!agent.failed(at(2), refused(), AFTER));
        assert!(agent.failed(
            at(3),
            Failure::new(Cause::Identity(Reason::WrongTenant), "expected acme, got globex"),
            AFTER
        ));
        assert_eq!(agent.state(), State::Suspect);
    }

    #[test]
    fn an_unreachable_agent_that_is_taken_over_stays_so_until_it_answers() {
        let mut agent = Reachability::taken_over(State::Unreachable, at(0));
        agent.failed(at(1), refused(), AFTER);
        assert_eq!(agent.state(), State::Unreachable);
        assert!(agent.succeeded(at(2)));
        assert_eq!(agent.state(), State::Reachable);
    }

    #[test]
    fn a_new_owner_blames_an_agent_only_for_what_it_saw_itself() {
        let mut agent = Reachability::taken_over(State::Suspect, at(1_000));
        agent.failed(at(1_001), refused(), AFTER);
        assert_eq!(agent.state(), State::Suspect);
    }

    #[test]
    fn an_agent_that_waits_to_be_enrolled_is_pending_however_long_it_takes() {
        let mut agent = Reachability::taken_over(State::Pending, at(0));
        assert!(agent.awaits(at(1), refused()));
        assert!(
            !agent.awaits(at(100_000), refused()),
            "the same cause again is no news"
        );
        let reuse = Failure::new(Cause::Upkeep(upkeep::Cause::ActivationReuse), "used already");
        assert!(agent.awaits(at(100_001), reuse));
        assert_eq!(agent.state(), State::Pending);
        // The waiting isn't held against it later.
        assert!(agent.succeeded(at(100_002)));
        agent.failed(at(100_003), refused(), AFTER);
        assert_eq!(agent.state(), State::Suspect);
    }

    proptest! {
        #[test]
        fn unreachable_only_after_the_timeout_without_success(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..40), 0..60),
        ) {
            let mut agent = Reachability::taken_over(State::Pending, at(0));
            let mut now = 0;
            let mut last_contact = 0;
            for (ok, pause) in steps {
                now += pause;
                let before = agent.state();
                let news = if ok {
                    last_contact = now;
                    agent.succeeded(at(now))
                } else {
                    agent.failed(at(now), refused(), AFTER)
                };
                let expected = match (ok, now - last_contact >= 60 || before == State::Unreachable) {
                    (true, _) => State::Reachable,
                    (false, true) => State::Unreachable,
                    (false, false) => State::Suspect,
                };
                prop_assert_eq!(agent.state(), expected);
                if agent.state() != before {
                    prop_assert!(news);
                    prop_assert_eq!(agent.since_unix_ms(), at(now).unix_ms);
                }
                prop_assert_eq!(agent.failure().is_some(), !ok);
            }
        }
    }
}
