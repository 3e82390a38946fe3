//! Dialling one agent: whom to expect is part of the dial, so that no connection exists without it.

use std::collections::BTreeSet;

use picket_identity::connect::{self, Connection, DialError, DialLimits, Phase};
use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::{TlsError, gateway_dialling_agent};
use picket_identity::verify::{
    self, AgentExpectation, Reason, Serials, Trust, TrustError, Verified, verify_agent,
};
use rustls_pki_types::CertificateDer;

use super::failure;
use crate::assignment::{Assigned, TenantTrust};
use crate::credentials::TenantCredential;
use crate::reachability::{Cause, Failure};

/// Dials an agent and verifies that it is the one that is expected.
///
/// # Errors
/// What that says about the agent.
pub(super) async fn agent(assigned: &Assigned, credential: &TenantCredential) -> Result<Connection, Failure> {
    let expectation = expectation(assigned)?;
    let tls =
        gateway_dialling_agent(credential.credential(), expectation).map_err(|error| own_fault(&error))?;
    connect::connect(&assigned.endpoint, &tls, &DialLimits::default())
        .await
        .map_err(|error| of_dial(&error))
}

/// No TLS configuration can be made of what this gateway has.
pub(crate) fn own_fault(error: &TlsError) -> Failure {
    Failure::new(
        Cause::Protocol,
        format!("this gateway's own certificate: {error}"),
    )
}

/// Verifies again an agent that was verified before, by the newest word on whom to expect.
///
/// # Errors
/// Why it isn't accepted any more.
pub(super) fn verify_again(assigned: &Assigned, verified: &Verified) -> Result<(), Failure> {
    let expectation = expectation(assigned)?;
    verify_agent(&[verified.leaf().clone()], &expectation, verify::now())
        .map(drop)
        .map_err(|refusal| failure::of_refusal(&refusal))
}

/// Whom to expect.
///
/// # Errors
/// The platform's word on that can't be used.
pub(crate) fn expectation(assigned: &Assigned) -> Result<AgentExpectation, Failure> {
    let trust = trust(&assigned.trust).map_err(|error| {
        let detail = format!(
            "the platform's CA certificates for tenant {}: {error}",
            assigned.key.tenant
        );
        Failure::new(Cause::Identity(Reason::UnknownCa), detail)
    })?;
    // A serial number that isn't one is no certificate's: leaving it out refuses more, never less.
    let active: BTreeSet<_> = assigned
        .active_serials
        .iter()
        .filter_map(|serial| serial.parse().ok())
        .collect();
    let SpiffeId::Agent {
        platform,
        tenant,
        agent,
    } = assigned.spiffe_id.clone()
    else {
        let detail = format!("{} is no agent's identity", assigned.spiffe_id);
        return Err(Failure::new(Cause::Identity(Reason::WrongAgent), detail));
    };
    Ok(AgentExpectation {
        platform,
        tenant,
        agent,
        trust,
        serials: Serials::Active(active),
    })
}

fn trust(trust: &TenantTrust) -> Result<Trust, TrustError> {
    let der = |bytes: &Vec<u8>| CertificateDer::from(bytes.clone());
    Trust::with_roots(trust.roots.iter().map(der), trust.tenant_cas.iter().map(der))
}

/// What a failed dial says about the agent.
pub(crate) fn of_dial(error: &DialError) -> Failure {
    let cause = match error {
        DialError::NameResolution { .. }
        | DialError::Timeout {
            phase: Phase::Name, ..
        } => Cause::NameResolution,
        DialError::Refused { .. } => Cause::Refused,
        DialError::Timeout { .. } => Cause::Timeout,
        DialError::Unreachable { source, .. } => failure::of_io(source).cause,
        DialError::Tls(refusal) => return failure::of_refusal(refusal),
        DialError::RefusedByPeer { .. } => Cause::GatewayRefused,
        DialError::Protocol { .. } => Cause::Protocol,
    };
    Failure::new(cause, error.to_string())
}
