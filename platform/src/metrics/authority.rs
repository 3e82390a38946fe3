//! What the authorities say: who got a certificate, and who didn't and why.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::authority::AuthorityError;
use crate::authority::step::Refused;
use crate::store::StoreError;

const ISSUED: &str = "picket_platform_certificates_issued_total";
const REFUSED: &str = "picket_platform_certificates_refused_total";
const TRUST_SEQUENCE: &str = "picket_platform_trust_sequence";

pub(super) fn describe() {
    describe_counter!(
        ISSUED,
        "Certificates that agents and gateways got over the wire, by what for"
    );
    describe_counter!(
        REFUSED,
        "Certificates that agents were refused, by what for and why"
    );
    describe_gauge!(
        TRUST_SEQUENCE,
        "The sequence of what this node verifies gateways by"
    );
}

/// Who asks for whom, and under which name both sides know the attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// `enrol`, `renew` or `recover`.
    pub purpose: &'static str,
    /// The gateway.
    pub gateway: &'a str,
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// As the agent and the gateway log it.
    pub correlation_id: &'a str,
}

/// An agent got a certificate.
pub fn issued(attempt: &Attempt<'_>, serial: &str) {
    counter!(ISSUED, "purpose" => attempt.purpose).increment(1);
    tracing::info!(
        purpose = attempt.purpose,
        gateway = attempt.gateway,
        tenant = attempt.tenant,
        agent = attempt.agent,
        correlation_id = attempt.correlation_id,
        serial,
        "a certificate was issued"
    );
}

/// An agent got none.
pub fn refused(attempt: &Attempt<'_>, refused: &Refused) {
    counter!(REFUSED, "purpose" => attempt.purpose, "cause" => refused.cause.as_str()).increment(1);
    tracing::warn!(
        purpose = attempt.purpose,
        gateway = attempt.gateway,
        tenant = attempt.tenant,
        agent = attempt.agent,
        correlation_id = attempt.correlation_id,
        step = "issue",
        cause = refused.cause.as_str(),
        detail = refused.detail,
        "a certificate was refused"
    );
}

/// A gateway got its next certificate.
pub fn gateway_renewed(gateway: &str, serial: &str) {
    counter!(ISSUED, "purpose" => "renew_gateway").increment(1);
    tracing::info!(gateway, serial, "a gateway's next certificate was issued");
}

/// Statements about what to trust can't be signed: agents go by what they have.
pub fn statement_failed(tenant: &str, error: &AuthorityError) {
    tracing::error!(tenant, %error, "what a tenant's agents are to trust could not be signed; they go by what they have");
}

/// Gateways are verified by something else from now on.
pub fn trust_followed(sequence: i64) {
    gauge!(TRUST_SEQUENCE).set(sequence as f64);
    tracing::info!(sequence, "gateways are verified by a new trust");
}

/// What comes of time could not be done.
pub fn upkeep_failed(error: &StoreError) {
    tracing::warn!(%error, "the upkeep of certificates failed; it is tried again");
}

/// An authority took a step of its rotation.
pub fn rotated(authority: &str, step: &str) {
    tracing::info!(authority, step, "an authority's rotation went on");
}

/// An authority could not take its step; it is tried again.
pub fn rotation_failed(authority: &str, step: &str, error: &AuthorityError) {
    tracing::error!(authority, step, %error, "an authority's rotation can't go on");
}
