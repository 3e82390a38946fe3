//! The engine: profile, chain, identity, serial number.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::profile::{self, Leaf, SigningCertificate};
use crate::spiffe::{SpiffeId, TrustDomain};

use super::verified::{Facts, Vouching};
use super::{Denied, PinnedCa, Policy, Reason, Refusal, Serials, Verified};

/// How our CAs sign: P-256 ones sign leaves, the P-384 root signs CAs.
pub(super) static SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
];

impl Policy<'_> {
    pub(super) fn verify(
        &self,
        certificates: &[CertificateDer<'_>],
        identity: impl Fn(&SpiffeId, &Leaf) -> Result<(), Reason>,
    ) -> Result<Verified, Refusal> {
        let Some((leaf_der, beside)) = certificates.split_first() else {
            return Err(self.refuse(Reason::NoCert, "no certificate"));
        };
        let leaf =
            Leaf::parse(leaf_der).map_err(|error| self.refuse(Reason::BadProfile, &error.to_string()))?;
        let (issuer, root_not_after) = self.chain(leaf_der, &leaf, beside)?;
        let id = self.identity(&leaf, issuer, identity)?;
        self.serial(&leaf, issuer)?;

        let chain_not_after = leaf
            .not_after
            .min(issuer.certificate.not_after)
            .min(root_not_after);
        Ok(Verified(Arc::new(Facts {
            id,
            serial: leaf.serial,
            issuer: issuer.id,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            chain_not_after,
            verified_at: self.now,
            leaf: leaf_der.clone().into_owned(),
            vouching: Vouching::OwnCa,
        })))
    }

    fn refuse(&self, reason: Reason, got: &str) -> Refusal {
        Refusal::new(reason, self.expected.clone(), got, self.now)
    }

    /// The pinned CA that issued the leaf, if there is one, and the last second of the root above it.
    fn chain(
        &self,
        leaf_der: &CertificateDer<'_>,
        leaf: &Leaf,
        beside: &[CertificateDer<'_>],
    ) -> Result<(&PinnedCa, UnixTime), Refusal> {
        let anchors = self.trust.anchors(self.now);
        if anchors.is_empty() {
            return Err(self.explain_roots());
        }
        let end_entity = EndEntityCert::try_from(leaf_der)
            .map_err(|error| self.refuse(Reason::BadProfile, &error.to_string()))?;
        let offered = self.trust.offered();
        let path = match build(&end_entity, &anchors, offered, self.now) {
            Ok(path) => path,
            Err(error) => return Err(self.explain(&error, leaf_der, leaf, beside, &anchors)),
        };
        let issuer_der = path.intermediate_certificates().next().map(|issuer| issuer.der());
        let issuer = self
            .trust
            .cas()
            .iter()
            .find(|ca| Some(&ca.der) == issuer_der.as_ref());
        issuer
            .zip(self.trust.root_not_after(path.anchor()))
            .ok_or_else(|| self.refuse(Reason::WrongIssuer, "a path that isn't leaf, pinned CA, root"))
    }

    /// No root is valid now. Says so of the one that was valid last.
    fn explain_roots(&self) -> Refusal {
        let Some(root) = self.trust.root_list().iter().max_by_key(|root| root.not_after) else {
            return self.refuse(Reason::UnknownCa, "no platform root");
        };
        if self.now < root.not_before {
            let got = format!(
                "a platform root that isn't valid before {}",
                root.not_before.as_secs()
            );
            return self.refuse(Reason::NotYetValid, &got);
        }
        let got = format!("a platform root that expired at {}", root.not_after.as_secs());
        self.refuse(Reason::Expired, &got)
    }

    fn identity(
        &self,
        leaf: &Leaf,
        issuer: &PinnedCa,
        identity: impl Fn(&SpiffeId, &Leaf) -> Result<(), Reason>,
    ) -> Result<SpiffeId, Refusal> {
        // The pinned CA first: a registry that pairs one tenant with another's CA must not get anybody accepted.
        if *issuer.trust_domain() != self.issuer_domain {
            let got = format!("a certificate issued by {}", issuer.trust_domain().id());
            return Err(self.refuse(Reason::WrongIssuer, &got));
        }
        let id: SpiffeId = leaf
            .uri
            .parse()
            .map_err(|_| self.refuse(Reason::BadProfile, &format!("the ID {}", leaf.uri)))?;
        identity(&id, leaf).map_err(|reason| self.refuse(reason, &leaf.uri))?;
        if leaf.common_name != id.common_name() {
            let got = format!(
                "common name {} where the ID wants {}",
                leaf.common_name,
                id.common_name()
            );
            return Err(self.refuse(Reason::CnMismatch, &got));
        }
        Ok(id)
    }

    fn serial(&self, leaf: &Leaf, issuer: &PinnedCa) -> Result<(), Refusal> {
        let is_good = match self.serials {
            Serials::Active(active) => active.contains(&leaf.serial),
            Serials::AllBut(denied) => !denied.contains(&Denied {
                issuer: issuer.id,
                serial: leaf.serial.clone(),
            }),
        };
        if is_good {
            return Ok(());
        }
        let got = format!("serial number {}, which isn't active", leaf.serial);
        Err(self.refuse(Reason::Revoked, &got))
    }

    /// Says why there is no path. Only words depend on it: whoever comes here is refused.
    fn explain(
        &self,
        error: &webpki::Error,
        leaf_der: &CertificateDer<'_>,
        leaf: &Leaf,
        beside: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
    ) -> Refusal {
        if self.now > leaf.not_after {
            let got = format!("{}, expired at {}", leaf.uri, leaf.not_after.as_secs());
            return self.refuse(Reason::Expired, &got);
        }
        if self.now < leaf.not_before {
            let got = format!("{}, not valid before {}", leaf.uri, leaf.not_before.as_secs());
            return self.refuse(Reason::NotYetValid, &got);
        }
        match error {
            webpki::Error::CertExpired { .. } => {
                self.refuse(Reason::Expired, "an issuing CA that has expired")
            }
            webpki::Error::CertNotValidYet { .. } => {
                self.refuse(Reason::NotYetValid, "an issuing CA that isn't valid yet")
            }
            webpki::Error::UnknownIssuer
            | webpki::Error::InvalidSignatureForPublicKey
            | webpki::Error::PathLenConstraintViolated
            | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                self.explain_issuer(leaf_der, leaf, beside, anchors)
            }
            other => self.refuse(Reason::BadProfile, &other.to_string()),
        }
    }

    /// Tells a CA of the same platform from one that is nobody's, by what the peer sent beside its leaf. At most one
    /// certificate of it is looked at, so a peer can't make us work.
    fn explain_issuer(
        &self,
        leaf_der: &CertificateDer<'_>,
        leaf: &Leaf,
        beside: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
    ) -> Refusal {
        let unknown = || {
            let got = format!("{}, issued by a CA that isn't pinned here", leaf.uri);
            self.refuse(Reason::UnknownCa, &got)
        };
        let Ok(end_entity) = EndEntityCert::try_from(leaf_der) else {
            return unknown();
        };
        let direct = end_entity.verify_for_usage(
            SIGNATURES,
            anchors,
            &[],
            self.now,
            KeyUsage::client_auth(),
            None,
            None,
        );
        if direct.is_ok() {
            return self.refuse(
                Reason::WrongIssuer,
                &format!("{}, issued by the root itself", leaf.uri),
            );
        }
        let Some(sibling) = beside.first() else {
            return unknown();
        };
        let Ok(certificate) = SigningCertificate::parse(sibling) else {
            return unknown();
        };
        if build(&end_entity, anchors, std::slice::from_ref(sibling), self.now).is_err() {
            return unknown();
        }
        let domain = certificate.trust_domain;
        let got = format!("{}, issued by {}", leaf.uri, domain.id());
        if self.is_another_tenants(&leaf.uri, &domain) {
            return self.refuse(Reason::WrongTenant, &got);
        }
        self.refuse(Reason::WrongIssuer, &got)
    }

    /// A real member of another tenant, rather than somebody with an ID that their CA may not give.
    fn is_another_tenants(&self, uri: &str, issuer: &TrustDomain) -> bool {
        let is_own = |id: SpiffeId| matches!(id, SpiffeId::Agent { .. }) && id.trust_domain() == *issuer;
        self.expects_agent && *issuer != self.issuer_domain && uri.parse().is_ok_and(is_own)
    }
}

/// A path of exactly leaf, one of `offered`, root.
fn build<'p>(
    leaf: &'p EndEntityCert<'p>,
    anchors: &'p [TrustAnchor<'p>],
    offered: &'p [CertificateDer<'p>],
    now: UnixTime,
) -> Result<VerifiedPath<'p>, webpki::Error> {
    let has_the_shape = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() {
        1 => Ok(()),
        _ => Err(webpki::Error::UnknownIssuer),
    };
    paths(
        leaf,
        anchors,
        offered,
        now,
        KeyUsage::client_auth(),
        &has_the_shape,
    )
}

fn paths<'p>(
    leaf: &'p EndEntityCert<'p>,
    anchors: &'p [TrustAnchor<'p>],
    offered: &'p [CertificateDer<'p>],
    now: UnixTime,
    usage: KeyUsage,
    accepts: &dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>,
) -> Result<VerifiedPath<'p>, webpki::Error> {
    leaf.verify_for_usage(SIGNATURES, anchors, offered, now, usage, None, Some(accepts))
}

/// How many CAs stand between a leaf and a root, by the path building of the verifier alone: without its profile, its shape,
/// the identity and the serial number. For comparing it with others'; it proves nothing about anybody, and gives no
/// [`Verified`].
///
/// # Errors
/// Why there is no path.
#[doc(hidden)]
pub fn path_alone(
    leaf: &CertificateDer<'_>,
    roots: &[CertificateDer<'_>],
    offered: &[CertificateDer<'_>],
    now: UnixTime,
    is_for_a_server: bool,
) -> Result<usize, String> {
    let is_valid = |root: &&CertificateDer<'_>| {
        profile::dates(root).is_ok_and(|(not_before, not_after)| not_before <= now && now <= not_after)
    };
    let anchors: Vec<_> = roots
        .iter()
        .filter(is_valid)
        .filter_map(|root| webpki::anchor_from_trusted_cert(root).ok())
        .collect();
    if anchors.is_empty() {
        return Err("no root that is valid now".to_owned());
    }
    let usage = if is_for_a_server {
        KeyUsage::server_auth()
    } else {
        KeyUsage::client_auth()
    };
    let end_entity = EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
    let path = paths(&end_entity, &anchors, offered, now, usage, &|_| Ok(()));
    path.map(|path| path.intermediate_certificates().count())
        .map_err(|error| error.to_string())
}
