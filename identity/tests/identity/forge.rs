//! A whole small platform, and a forger who has each of its CA keys in turn.

use std::time::Duration;

use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::spiffe::TrustDomain;
use picket_identity::verify::{
    AgentExpectation, GatewayClientExpectation, GatewayExpectation, PlatformExpectation, Reason, Serials,
    Trust, verify_agent, verify_gateway,
};
use picket_issuing::{CertificateAuthority, Intermediate, Issued, PublicKey, days, hours};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

pub(crate) const AGENT: &str = "spiffe://acme.picket.example/agent/berlin-1";
pub(crate) const GATEWAY: &str = "spiffe://picket.example/gateway/gw-1/tenant/acme";

pub(crate) struct World {
    pub(crate) now: UnixTime,
    pub(crate) root: CertificateAuthority,
    pub(crate) gateway_ca: CertificateAuthority,
    pub(crate) platform_ca: CertificateAuthority,
    pub(crate) acme: CertificateAuthority,
    pub(crate) globex: CertificateAuthority,
}

pub(crate) fn platform() -> TrustDomain {
    "picket.example".parse().unwrap()
}

pub(crate) fn key() -> (PrivateKey, PublicKey) {
    let private = PrivateKey::generate().unwrap();
    let public = PublicKey::from_request(&private.csr("a request").unwrap()).unwrap();
    (private, public)
}

pub(crate) fn later(at: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()) + by)
}

pub(crate) fn earlier(at: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()) - by)
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(picket_identity::verify::now())
    }

    pub(crate) fn at(now: UnixTime) -> Self {
        let root = CertificateAuthority::new_root(&platform(), now).unwrap();
        let below = |kind| root.new_intermediate(kind, now).unwrap();
        Self {
            now,
            gateway_ca: below(Intermediate::Gateway),
            platform_ca: below(Intermediate::Platform),
            acme: below(Intermediate::Tenant("acme".parse().unwrap())),
            globex: below(Intermediate::Tenant("globex".parse().unwrap())),
            root,
        }
    }

    pub(crate) fn trust(&self, ca: &CertificateAuthority) -> Trust {
        Trust::new(
            self.root.certificate_der().clone(),
            [ca.certificate_der().clone()],
        )
        .unwrap()
    }

    /// What a gateway expects at berlin-1.
    pub(crate) fn expects_agent(&self) -> AgentExpectation {
        AgentExpectation {
            platform: platform(),
            tenant: "acme".parse().unwrap(),
            agent: "berlin-1".parse().unwrap(),
            trust: self.trust(&self.acme),
            serials: Serials::default(),
        }
    }

    /// What berlin-1 expects.
    pub(crate) fn expects_gateway(&self) -> GatewayExpectation {
        GatewayExpectation {
            platform: platform(),
            tenant: "acme".parse().unwrap(),
            trust: self.trust(&self.gateway_ca),
            serials: Serials::default(),
            not_before: earlier(self.now, days(1)),
        }
    }

    pub(crate) fn expects_platform(&self) -> PlatformExpectation {
        let trust = self.trust(&self.platform_ca);
        PlatformExpectation {
            platform: platform(),
            trust,
            serials: Serials::default(),
        }
    }

    pub(crate) fn expects_gateway_client(&self) -> GatewayClientExpectation {
        let trust = self.trust(&self.gateway_ca);
        GatewayClientExpectation {
            platform: platform(),
            trust,
            serials: Serials::default(),
        }
    }

    pub(crate) fn agent_of(&self, ca: &CertificateAuthority, name: &str) -> Credential {
        let (private, public) = key();
        credential(
            private,
            ca.issue_agent(&public, &name.parse().unwrap(), days(90), self.now)
                .unwrap(),
        )
    }

    pub(crate) fn agent(&self) -> Credential {
        self.agent_of(&self.acme, "berlin-1")
    }

    pub(crate) fn gateway_for(&self, tenant: &str) -> Credential {
        self.gateway_for_lasting(tenant, hours(24))
    }

    pub(crate) fn gateway_for_lasting(&self, tenant: &str, lifetime: Duration) -> Credential {
        let (private, public) = key();
        let (gateway, tenant) = ("gw-1".parse().unwrap(), tenant.parse().unwrap());
        let issued = self
            .gateway_ca
            .issue_gateway_for_tenant(&public, &gateway, &tenant, lifetime, self.now);
        credential(private, issued.unwrap())
    }

    pub(crate) fn gateway(&self) -> Credential {
        let (private, public) = key();
        let issued = self
            .gateway_ca
            .issue_gateway(&public, &"gw-1".parse().unwrap(), days(30), self.now);
        credential(private, issued.unwrap())
    }

    pub(crate) fn node(&self) -> Credential {
        let (private, public) = key();
        let issued =
            self.platform_ca
                .issue_platform_node(&public, &"node-1".parse().unwrap(), days(30), self.now);
        credential(private, issued.unwrap())
    }

    /// Why a gateway refuses this for berlin-1.
    pub(crate) fn agent_refusal(&self, certificates: &[CertificateDer<'_>]) -> Option<Reason> {
        verify_agent(certificates, &self.expects_agent(), self.now)
            .err()
            .map(|refusal| refusal.reason)
    }

    /// Why berlin-1 refuses this as a gateway.
    pub(crate) fn gateway_refusal(&self, certificates: &[CertificateDer<'_>]) -> Option<Reason> {
        verify_gateway(certificates, &self.expects_gateway(), self.now)
            .err()
            .map(|refusal| refusal.reason)
    }

    /// A leaf with this ID and common name, by a CA that shouldn't have done it, after an `edit` of the good template.
    pub(crate) fn forge(
        &self,
        by: &CertificateAuthority,
        id: &str,
        common_name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        self.forge_by(&issuer_of(by), id, common_name, edit)
    }

    pub(crate) fn forge_by(
        &self,
        by: &Issuer<'_, KeyPair>,
        id: &str,
        common_name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut parameters = self.template(id, common_name);
        edit(&mut parameters);
        parameters
            .signed_by(&KeyPair::generate().unwrap(), by)
            .unwrap()
            .der()
            .clone()
    }

    /// berlin-1's own leaf by its own CA, after an `edit`.
    pub(crate) fn forge_agent(&self, edit: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        self.forge(&self.acme, AGENT, "berlin-1.acme", edit)
    }

    pub(crate) fn template(&self, id: &str, common_name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named(common_name);
        parameters.subject_alt_names = vec![uri(id)];
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        parameters.not_before = date(earlier(self.now, hours(1)));
        parameters.not_after = date(later(self.now, hours(20)));
        parameters
    }
}

fn credential(key: PrivateKey, issued: Issued) -> Credential {
    Credential::new(key, vec![issued.certificate, issued.issuer]).unwrap()
}

pub(crate) fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn date(at: UnixTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(at.as_secs()).unwrap()).unwrap()
}

/// The stolen key of a CA.
pub(crate) fn issuer_of(ca: &CertificateAuthority) -> Issuer<'static, KeyPair> {
    issuer_named(&ca.role().to_string(), KeyPair::from_pem(&ca.key_pem()).unwrap())
}

pub(crate) fn issuer_named(name: &str, key: KeyPair) -> Issuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(name);
    Issuer::new(parameters, key)
}
