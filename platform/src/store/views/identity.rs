//! Where an agent stands on the way from its enrolment file to its next certificate: functions of its row.

use super::agent::Agent;
use crate::clock::UnixMs;

/// Where an agent's identity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityState {
    /// Its enrolment file hasn't been used yet.
    AwaitingEnrolment,
    /// Its enrolment file's time ran out unused.
    FileExpired,
    /// Its first certificate was issued, and hasn't been seen in use.
    Issued,
    /// It has a certificate in use, and an enrolment file that is to give it another.
    Replacing,
    /// It has a certificate in use.
    Enrolled,
    /// Its certificate has expired.
    Expired,
    /// Its certificate has expired, and its recovery was approved.
    Recovering,
    /// It has no certificate that counts.
    Revoked,
}

impl IdentityState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingEnrolment => "awaiting_enrolment",
            Self::FileExpired => "file_expired",
            Self::Issued => "issued",
            Self::Replacing => "replacing",
            Self::Enrolled => "enrolled",
            Self::Expired => "expired",
            Self::Recovering => "recovering",
            Self::Revoked => "revoked",
        }
    }

    /// For people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AwaitingEnrolment => "waits to be enrolled: run `agent-host enroll` with its file",
            Self::FileExpired => "its enrolment file expired unused: make another",
            Self::Issued => "got its first certificate, which nobody has seen in use yet",
            Self::Replacing => "enrolled; another enrolment file is waiting to be used",
            Self::Enrolled => "enrolled",
            Self::Expired => "its certificate has expired: approve its recovery",
            Self::Recovering => "its certificate has expired; its recovery is approved",
            Self::Revoked => "revoked: it has no certificate that counts",
        }
    }
}

/// When an agent gets its next certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It has none yet, or none any more.
    None,
    /// At half of its certificate's life.
    Later,
    /// Now: half of its certificate's life is over, or its authority is on its way out.
    Due,
    /// The next one was issued, and hasn't been seen in use.
    Pending,
}

impl Renewal {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Later => "later",
            Self::Due => "due",
            Self::Pending => "pending",
        }
    }
}

/// Why an agent doesn't get on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem<'a> {
    /// A word.
    pub cause: &'a str,
    /// For people.
    pub detail: &'a str,
    /// Under which the agent, the gateway and the platform logged it; empty where no attempt got as far.
    pub correlation_id: &'a str,
}

impl Agent {
    /// Where its identity stands.
    #[must_use]
    pub fn identity_state(&self, now: UnixMs) -> IdentityState {
        let is_file_good = self.activation_expires_at.is_some_and(|end| end > now);
        match (self.certificate_not_after_at, self.activation.as_deref()) {
            (Some(end), Some(_)) if end > now => IdentityState::Replacing,
            (Some(end), None) if end > now => IdentityState::Enrolled,
            (_, Some("used")) => IdentityState::Issued,
            (_, Some(_)) if is_file_good => IdentityState::AwaitingEnrolment,
            (_, Some(_)) => IdentityState::FileExpired,
            (Some(_), None) if self.recovery_approved_at.is_some() => IdentityState::Recovering,
            (Some(_), None) => IdentityState::Expired,
            (None, None) if self.has_pending != 0 => IdentityState::Issued,
            (None, None) => IdentityState::Revoked,
        }
    }

    /// When it gets its next certificate.
    #[must_use]
    pub fn renewal(&self, now: UnixMs) -> Renewal {
        let Some((from, end)) = self.certificate_not_before_at.zip(self.certificate_not_after_at) else {
            return Renewal::None;
        };
        let half = from + (end - from) / 2;
        if self.has_pending != 0 {
            Renewal::Pending
        } else if self.is_outdated != 0 || half <= now {
            Renewal::Due
        } else {
            Renewal::Later
        }
    }

    /// Why it doesn't get its certificate: what the platform refused last, or what its gateway says while it waits.
    #[must_use]
    pub fn identity_problem(&self) -> Option<Problem<'_>> {
        let gateway_says = self.cause.as_deref().unwrap_or_default();
        if !self.refused_cause.is_empty() {
            return Some(Problem {
                cause: &self.refused_cause,
                detail: &self.refused_detail,
                correlation_id: &self.refused_correlation_id,
            });
        }
        (self.reach_word() == "pending" && !gateway_says.is_empty()).then(|| Problem {
            cause: gateway_says,
            detail: self.detail.as_deref().unwrap_or_default(),
            correlation_id: "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_000;

    fn agent(certificate: Option<(UnixMs, UnixMs)>, activation: Option<(&str, UnixMs)>) -> Agent {
        Agent {
            tenant: "acme".into(),
            name: "berlin-1".into(),
            endpoint: String::new(),
            spiffe_id: String::new(),
            interval_ms: 1,
            unreachable_after_ms: 1,
            enabled: 1,
            created_at: 0,
            reach: None,
            cause: None,
            detail: None,
            since_at: None,
            reported_at: None,
            gateway: None,
            clock_skew_ms: None,
            agent_version: None,
            spool_bytes: None,
            spool_quota: None,
            spool_dropped: None,
            stream: None,
            committed_seq: None,
            lost_total: None,
            cursor_at: None,
            certificate_serial: certificate.map(|_| "0a".into()),
            certificate_not_after_at: certificate.map(|(_, end)| end),
            certificate_not_before_at: certificate.map(|(from, _)| from),
            has_pending: 0,
            is_outdated: 0,
            activation: activation.map(|(state, _)| state.into()),
            activation_expires_at: activation.map(|(_, end)| end),
            recovery_approved_at: None,
            refused_cause: String::new(),
            refused_detail: String::new(),
            refused_correlation_id: String::new(),
            trust_sequence: None,
        }
    }

    fn state(certificate: Option<(UnixMs, UnixMs)>, activation: Option<(&str, UnixMs)>) -> &'static str {
        agent(certificate, activation).identity_state(NOW).as_str()
    }

    #[test]
    fn an_agent_without_a_certificate_is_where_its_file_is() {
        assert_eq!(state(None, Some(("waiting", NOW + 1))), "awaiting_enrolment");
        assert_eq!(state(None, Some(("waiting", NOW))), "file_expired");
        assert_eq!(state(None, Some(("used", NOW + 1))), "issued");
        assert_eq!(state(None, None), "revoked");
    }

    #[test]
    fn an_agent_with_a_certificate_is_enrolled_until_it_ends() {
        assert_eq!(state(Some((0, NOW + 1)), None), "enrolled");
        assert_eq!(state(Some((0, NOW + 1)), Some(("waiting", NOW + 1))), "replacing");
        assert_eq!(state(Some((0, NOW)), None), "expired");
        let mut approved = agent(Some((0, NOW)), None);
        approved.recovery_approved_at = Some(1);
        assert_eq!(approved.identity_state(NOW).as_str(), "recovering");
    }

    #[test]
    fn a_renewal_is_due_at_half_life_or_when_the_authority_issues_no_more() {
        let young = agent(Some((NOW - 10, NOW + 12)), None);
        assert_eq!(young.renewal(NOW).as_str(), "later");
        assert_eq!(
            agent(Some((NOW - 10, NOW + 10)), None).renewal(NOW).as_str(),
            "due"
        );
        let mut outdated = young.clone();
        outdated.is_outdated = 1;
        assert_eq!(outdated.renewal(NOW).as_str(), "due");
        let mut pending = young;
        pending.has_pending = 1;
        assert_eq!(pending.renewal(NOW).as_str(), "pending");
        assert_eq!(agent(None, None).renewal(NOW).as_str(), "none");
    }

    #[test]
    fn what_the_gateway_says_of_an_agent_that_isnt_there_is_its_problem() {
        let mut waiting = agent(None, Some(("waiting", NOW + 1)));
        waiting.cause = Some("refused".into());
        assert_eq!(waiting.identity_problem().unwrap().cause, "refused");
        waiting.refused_cause = "bad_signature".into();
        assert_eq!(waiting.identity_problem().unwrap().cause, "bad_signature");
        let mut reached = agent(Some((0, NOW + 1)), None);
        (reached.reach, reached.cause) = (Some("unreachable".into()), Some("timeout".into()));
        assert_eq!(reached.identity_problem(), None);
    }
}
