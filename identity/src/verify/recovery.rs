//! An agent whose certificate has expired: the one case in which a date is forgiven, and only so that it gets the next one.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::profile::Leaf;

use super::verified::Facts;
use super::{AgentExpectation, Expectation, Reason, Refusal, Verified, verify_agent};

/// For so long after its end a certificate still opens the way to the next one.
pub const RECOVERY_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

/// A recovery connection lives no longer.
const CONNECTION: Duration = Duration::from_secs(120);

/// What a gateway expects of an agent that waits for recovery. A type of its own: nothing that polls can come by it through
/// a wrong flag.
#[derive(Clone, Debug)]
pub struct RecoveryExpectation(pub AgentExpectation);

/// Verifies an agent whose certificate may have expired within [`RECOVERY_WINDOW`]: everything else as [`verify_agent`]
/// does, as of the last second in which the certificate was valid; the CA and a root above it have to be valid now.
///
/// # Errors
/// Why it isn't the expected agent.
pub fn verify_agent_for_recovery(
    certificates: &[CertificateDer<'_>],
    expected: &RecoveryExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let expected = &expected.0;
    let not_after = certificates
        .first()
        .and_then(|leaf| Leaf::parse(leaf).ok())
        .map(|leaf| leaf.not_after);
    // What can't be read, and what is still good, is verified as ever.
    let Some(not_after) = not_after.filter(|not_after| now > *not_after) else {
        return verify_agent(certificates, expected, now);
    };
    if now.as_secs() - not_after.as_secs() > RECOVERY_WINDOW.as_secs() {
        // As ever: expired.
        return verify_agent(certificates, expected, now);
    }
    let verified = verify_agent(certificates, expected, not_after)?;
    let is_valid_now = expected.trust.cas().iter().any(|ca| {
        ca.id() == *verified.issuer() && ca.certificate.not_before <= now && now <= ca.certificate.not_after
    });
    if !is_valid_now || expected.trust.anchors(now).is_empty() {
        return Err(Refusal::new(
            Reason::Expired,
            verified.id().to_string(),
            "a certificate that expired, under a CA that isn't valid any more",
            now,
        ));
    }
    let seconds = Duration::from_secs(now.as_secs()) + CONNECTION;
    Ok(Verified(Arc::new(Facts {
        id: verified.id().clone(),
        serial: verified.serial().clone(),
        issuer: *verified.issuer(),
        not_before: verified.not_before(),
        not_after: verified.not_after(),
        chain_not_after: UnixTime::since_unix_epoch(seconds),
        verified_at: now,
        leaf: verified.leaf().clone(),
        vouching: verified.vouching(),
    })))
}

impl Expectation for RecoveryExpectation {
    fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        verify_agent_for_recovery(certificates, self, now)
    }
}
