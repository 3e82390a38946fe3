//! What one agent's identity needs, and when. Pure: time and chance are passed in.

use std::time::Duration;

use picket_identity::Serial;
use rand::Rng;

use crate::assignment::{Assigned, Work};
use crate::backoff::Backoff;
use crate::clock::BootTime;
use crate::reachability::Moment;

/// An agent that awaits enrolment has somebody standing beside it.
const TOLD_SPREAD: Duration = Duration::from_secs(1);

/// An agent may not have been started yet; whoever starts it waits at most so long.
const ENROLMENT: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(8));

/// Half of its life is left for this.
const RENEWAL: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// New trust reaches the agents of a tenant within this time, and not all of them in the same moment.
const TRUST_SPREAD: Duration = Duration::from_secs(2);

/// An agent that refuses what it is to trust won't change its mind by being asked often.
const TRUST: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(600));

/// Full jitter may draw nothing at all; no agent is asked again within this.
const BREATH: Duration = Duration::from_millis(250);

/// Agents that were taken over may be due all at once.
const TAKEOVER_SPREAD: Duration = Duration::from_secs(5);

/// After a success, until the platform's word has followed it.
const HOLD: Duration = Duration::from_secs(60);

/// Something that an agent's identity needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Its first certificate.
    Enrolment,
    /// A certificate after the last one has expired.
    Recovery,
    /// The newest word on what to trust. Before the renewal: the next certificate may be by a CA that only this names.
    Trust,
    /// The next certificate.
    Renewal,
}

impl Need {
    const ALL: [Self; 4] = [Self::Enrolment, Self::Recovery, Self::Trust, Self::Renewal];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Recovery => "recovery",
            Self::Trust => "trust",
            Self::Renewal => "renewal",
        }
    }

    const fn backoff(self) -> Backoff {
        match self {
            Self::Enrolment | Self::Recovery => ENROLMENT,
            Self::Trust => TRUST,
            Self::Renewal => RENEWAL,
        }
    }
}

/// The certificate by which an agent was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its serial number.
    pub serial: Serial,
    /// The first second in which it is valid.
    pub not_before_unix_s: u64,
    /// The last one.
    pub not_after_unix_s: u64,
}

/// When a certificate is to be renewed, in seconds since 1970: at half life, and up to a tenth of the lifetime later, by
/// `hash`, so that agents that were enrolled together aren't renewed together for ever.
pub fn renewal_at(not_before_unix_s: u64, not_after_unix_s: u64, hash: u64) -> u64 {
    let lifetime = not_after_unix_s.saturating_sub(not_before_unix_s);
    let spread = hash % (lifetime / 10).max(1);
    not_before_unix_s + lifetime / 2 + spread
}

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    failures: u32,
    not_before: BootTime,
}

/// What is known of one agent's identity, and what was tried.
#[derive(Clone, Debug)]
pub struct Upkeep {
    hash: u64,
    certificate: Option<Certificate>,
    trust_sequence: Option<u64>,
    tries: [Tries; 4],
}

impl Upkeep {
    /// Begins with an agent whose phase is `hash`, as the platform assigned it.
    pub fn new(hash: u64, assigned: &Assigned, now: BootTime) -> Self {
        let mut upkeep = Self {
            hash,
            certificate: None,
            trust_sequence: None,
            tries: [Tries::default(); 4],
        };
        upkeep.begin(Need::Enrolment, now, TOLD_SPREAD);
        upkeep.begin(Need::Recovery, now, TOLD_SPREAD);
        upkeep.begin(Need::Trust, now, TRUST_SPREAD);
        if !assigned.renew {
            // A takeover must not become a flood of renewals that happen to be due.
            upkeep.begin(Need::Renewal, now, TAKEOVER_SPREAD);
        }
        upkeep
    }

    fn begin(&mut self, need: Need, now: BootTime, spread: Duration) {
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).max(1);
        *self.tries_mut(need) = Tries {
            failures: 0,
            not_before: now + Duration::from_millis(self.hash % spread_ms),
        };
    }

    fn tries_mut(&mut self, need: Need) -> &mut Tries {
        let [enrolment, recovery, trust, renewal] = &mut self.tries;
        match need {
            Need::Enrolment => enrolment,
            Need::Recovery => recovery,
            Need::Trust => trust,
            Need::Renewal => renewal,
        }
    }

    const fn tries(&self, need: Need) -> Tries {
        let [enrolment, recovery, trust, renewal] = &self.tries;
        match need {
            Need::Enrolment => *enrolment,
            Need::Recovery => *recovery,
            Need::Trust => *trust,
            Need::Renewal => *renewal,
        }
    }

    /// The platform has said something new of the agent. What it says anew is begun anew.
    pub fn told(&mut self, before: &Assigned, after: &Assigned, now: BootTime) {
        let moved = before.endpoint != after.endpoint;
        if after.work == Work::Enroll && (moved || before.work != Work::Enroll) {
            self.begin(Need::Enrolment, now, TOLD_SPREAD);
        }
        if after.work == Work::Recover && (moved || before.work != Work::Recover) {
            self.begin(Need::Recovery, now, TOLD_SPREAD);
        }
        if wanted(after) != wanted(before) {
            self.begin(Need::Trust, now, TRUST_SPREAD);
        }
        if after.renew && !before.renew {
            self.begin(Need::Renewal, now, Duration::ZERO);
        }
    }

    /// The agent was verified by `certificate`, and goes by this trust statement.
    pub fn seen(&mut self, certificate: Certificate, trust_sequence: u64) {
        self.certificate = Some(certificate);
        self.trust_sequence = Some(trust_sequence);
    }

    /// The certificate by which the agent was last verified.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The trust statement that the agent goes by, where it said so.
    pub fn trust_sequence(&self) -> Option<u64> {
        self.trust_sequence
    }

    /// What was needed was done.
    pub fn succeeded(&mut self, need: Need, now: BootTime) {
        *self.tries_mut(need) = Tries {
            failures: 0,
            not_before: now + HOLD,
        };
    }

    /// It wasn't. Returns the time until the next try.
    pub fn failed(&mut self, need: Need, now: BootTime, rng: &mut impl Rng) -> Duration {
        let failures = self.tries(need).failures.saturating_add(1);
        let wait = need.backoff().delay(failures, rng).max(BREATH);
        *self.tries_mut(need) = Tries {
            failures,
            not_before: now + wait,
        };
        wait
    }

    /// What is needed next, and when. An agent that doesn't answer (`answers`) needs nothing but to be enrolled or
    /// recovered: the polls find out when it is back.
    pub fn next(&self, assigned: &Assigned, answers: bool, now: Moment) -> Option<(BootTime, Need)> {
        let due = |need: Need| {
            let at = match need {
                Need::Enrolment => (assigned.work == Work::Enroll).then_some(now.boot),
                Need::Recovery => (assigned.work == Work::Recover).then_some(now.boot),
                Need::Trust => (answers && self.is_behind(assigned)).then_some(now.boot),
                Need::Renewal if answers => self.renewal_due(assigned, now),
                Need::Renewal => None,
            };
            at.map(|at| (at.max(self.tries(need).not_before), need))
        };
        Need::ALL.into_iter().filter_map(due).min()
    }

    fn is_behind(&self, assigned: &Assigned) -> bool {
        self.trust_sequence
            .is_some_and(|sequence| sequence < wanted(assigned))
    }

    fn renewal_due(&self, assigned: &Assigned, now: Moment) -> Option<BootTime> {
        let certificate = self.certificate.as_ref()?;
        if assigned.renew {
            return Some(now.boot);
        }
        let at = renewal_at(
            certificate.not_before_unix_s,
            certificate.not_after_unix_s,
            self.hash,
        );
        let wait = at.saturating_mul(1_000).saturating_sub(now.unix_ms);
        Some(now.boot + Duration::from_millis(wait))
    }
}

/// The sequence of the statement that the agent is to go by; 0 where the platform says none.
fn wanted(assigned: &Assigned) -> u64 {
    assigned.agent_trust.as_ref().map_or(0, |trust| trust.sequence)
}

#[cfg(test)]
pub(crate) mod tests;
