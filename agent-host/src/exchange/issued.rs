//! What a gateway hands over, as a bundle that is then verified as a whole: key, identity, chain, dates, trust.

use picket_identity::CertificateDer;
use picket_identity::UnixTime;
use picket_identity::bundle::{Identity, IdentityBundle};
use picket_identity::spiffe::SpiffeId;
use picket_identity::trust_update::{SignedTrust, TrustStatement, TrustUpdateError};
use picket_identity::verify::{Denied, Trust};
use picket_proto::agent::v1::{IssuedCertificate, TrustUpdate};

use super::failure::{Cause, Failure, Step};

/// What an agent trusts: by its enrolment file, by what it goes by already, or by a statement.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The roots and the gateway CAs.
    pub trust: Trust,
    /// Its sequence.
    pub sequence: u64,
    /// Gateways that aren't accepted any more.
    pub denied: Vec<Denied>,
}

impl Trusted {
    /// What an identity goes by.
    #[must_use]
    pub fn by(identity: &Identity) -> Self {
        Self {
            trust: identity.peers().clone(),
            sequence: identity.trust_sequence(),
            denied: identity.denied().to_vec(),
        }
    }

    fn said(statement: &TrustStatement) -> Result<Self, TrustUpdateError> {
        Ok(Self {
            trust: statement.trust()?,
            sequence: statement.sequence,
            denied: statement.denied.clone(),
        })
    }
}

/// Verifies what the platform says that this agent is to trust, by roots that it trusts already.
///
/// # Errors
/// It isn't the platform's word for this agent's tenant.
pub fn verify_trust(
    update: &TrustUpdate,
    own: &SpiffeId,
    trust: &Trust,
    now: UnixTime,
) -> Result<TrustStatement, TrustUpdateError> {
    let signed = SignedTrust {
        statement: update.statement.to_vec(),
        signer: update.signer.to_vec(),
        signature: update.signature.to_vec(),
    };
    let (platform, tenant) = match own {
        SpiffeId::Agent { platform, tenant, .. } => (platform, tenant),
        other => {
            // No statement is for anybody else.
            return Err(TrustUpdateError::OtherTenant {
                expected: "an agent's tenant".to_owned(),
                got: other.to_string(),
            });
        }
    };
    signed.verify(platform, tenant, &trust.roots(), now)
}

/// The first certificate: it comes with what to trust, signed by the platform of the file, and no older than the file.
///
/// # Errors
/// There is no such statement.
pub fn first(
    issued: &IssuedCertificate,
    own: &SpiffeId,
    file: &Trusted,
    now: UnixTime,
) -> Result<IdentityBundle, Failure> {
    let bad_trust = |detail: String| Failure::new(Step::Install, Cause::BadTrust, detail);
    let Some(update) = &issued.trust else {
        return Err(bad_trust(
            "the certificate came without a trust statement: expected one that the platform CA has signed"
                .to_owned(),
        ));
    };
    let statement = verify_trust(update, own, &file.trust, now)?;
    if statement.sequence < file.sequence {
        return Err(bad_trust(format!(
            "the trust statement has sequence {}: expected {} or more, as in the enrolment file",
            statement.sequence, file.sequence
        )));
    }
    Ok(bundle(issued, own, &Trusted::said(&statement)?))
}

/// The next certificate: what to trust may come with it, and counts where it is newer.
///
/// # Errors
/// It came, and isn't the platform's word.
pub fn next(
    issued: &IssuedCertificate,
    current: &Identity,
    now: UnixTime,
) -> Result<IdentityBundle, Failure> {
    let known = Trusted::by(current);
    let trusted = match &issued.trust {
        None => known,
        Some(update) => {
            let statement = verify_trust(update, current.id(), &known.trust, now)?;
            if statement.sequence > known.sequence {
                Trusted::said(&statement)?
            } else {
                known
            }
        }
    };
    Ok(bundle(issued, current.id(), &trusted))
}

fn bundle(issued: &IssuedCertificate, own: &SpiffeId, trusted: &Trusted) -> IdentityBundle {
    let gateway_cas: Vec<_> = trusted.trust.cas().iter().map(|ca| ca.der().clone()).collect();
    IdentityBundle {
        trust_sequence: trusted.sequence,
        denied: trusted.denied.clone(),
        ..IdentityBundle::for_agent(
            own.clone(),
            &CertificateDer::from(&issued.leaf[..]),
            &CertificateDer::from(&issued.issuer[..]),
            &trusted.trust.roots(),
            &gateway_cas,
        )
    }
}
