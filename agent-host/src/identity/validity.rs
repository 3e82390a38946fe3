//! How long a certificate is good for.

use std::time::Duration;

use picket_identity::UnixTime;
use picket_identity::bundle::Identity;
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify::{self, RECOVERY_WINDOW};

/// Gateways renew at half life. What is still there in its last quarter has missed its renewal.
const LAST_PART: u64 = 4;
/// For certificates that live long: two weeks are enough to find out why no gateway comes.
const AT_MOST: Duration = Duration::from_secs(14 * 24 * 3600);

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Good.
    Good,
    /// Good, but it should have been renewed by now.
    EndsSoon,
    /// Its time is over; for so long a gateway may still bring the next one.
    Recoverable,
    /// Its time is over for too long.
    Lost,
}

impl Validity {
    /// Of an agent's own certificate.
    #[must_use]
    pub fn of(identity: &Identity, now: UnixTime) -> Self {
        let verified = identity.verified();
        Self::at(verified.not_before(), verified.not_after(), now)
    }

    fn at(not_before: UnixTime, not_after: UnixTime, now: UnixTime) -> Self {
        let (begin, end, now) = (not_before.as_secs(), not_after.as_secs(), now.as_secs());
        let warned = (end.saturating_sub(begin) / LAST_PART).min(AT_MOST.as_secs());
        if now > end.saturating_add(RECOVERY_WINDOW.as_secs()) {
            Self::Lost
        } else if now > end {
            Self::Recoverable
        } else if now.saturating_add(warned) > end {
            Self::EndsSoon
        } else {
            Self::Good
        }
    }

    /// Whether the certificate's time is over.
    #[must_use]
    pub fn is_expired(self) -> bool {
        matches!(self, Self::Recoverable | Self::Lost)
    }

    /// For programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::EndsSoon => "ends_soon",
            Self::Recoverable => "expired",
            Self::Lost => "lost",
        }
    }
}

/// What the clock shows, but not before the own certificate began: turning the clock back revives nothing that had ended by
/// then.
#[must_use]
pub fn certain_time(clock: UnixTime, identity: &Identity) -> UnixTime {
    clock.max(identity.verified().not_before())
}

/// Until when a gateway may bring an expired agent its next certificate, in ms since 1970.
#[must_use]
pub fn recoverable_until_ms(identity: &Identity) -> i64 {
    let window = i64::try_from(RECOVERY_WINDOW.as_millis()).unwrap_or(i64::MAX);
    verify::unix_millis(identity.verified().not_after()).saturating_add(window)
}

/// What is wrong with a certificate, and what to do. `None` where nothing is.
#[must_use]
pub fn trouble(identity: &Identity, now: UnixTime) -> Option<String> {
    let end = shown(verify::unix_millis(identity.verified().not_after()));
    let name = match identity.id() {
        SpiffeId::Agent { tenant, agent, .. } => format!("{tenant}/{agent}"),
        other => other.to_string(),
    };
    match Validity::of(identity, now) {
        Validity::Good => None,
        Validity::EndsSoon => Some(format!(
            "the certificate ends {end} and should have been renewed by now: gateways renew it, so see whether one reaches this agent"
        )),
        Validity::Recoverable => Some(format!(
            "the certificate ended {end}: checks go on and their results are kept, but gateways get nothing until the \
             platform's operator approves the recovery (platform agent approve {name}) before {}",
            shown(recoverable_until_ms(identity))
        )),
        Validity::Lost => Some(format!(
            "the certificate ended {end}, too long ago to be recovered: have the platform's operator run `platform agent add \
             --replace … --out NAME.enroll` for {name}, and run `agent-host enroll --replace NAME.enroll` here"
        )),
    }
}

fn shown(unix_ms: i64) -> String {
    let at = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    #[test]
    fn it_ends_soon_in_its_last_quarter_but_not_two_weeks_before() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let of = |days: u64, now: u64| Validity::at(at(0), at(days * DAY), at(now));
        assert_eq!(of(8, 6 * DAY), Validity::Good);
        assert_eq!(of(8, 6 * DAY + 1), Validity::EndsSoon);
        assert_eq!(of(90, 76 * DAY), Validity::Good);
        assert_eq!(of(90, 76 * DAY + 1), Validity::EndsSoon);
        assert_eq!(of(90, 90 * DAY), Validity::EndsSoon);
        assert_eq!(of(90, 90 * DAY + 1), Validity::Recoverable);
        assert_eq!(of(90, 120 * DAY), Validity::Recoverable);
        assert_eq!(of(90, 120 * DAY + 1), Validity::Lost);
    }
}
