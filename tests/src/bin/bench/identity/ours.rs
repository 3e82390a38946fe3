//! An agent and the gateway that dials it, as in an installation.

use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::tls::{agent_serving_gateways, gateway_dialling_agent};
use picket_identity::verify::{AgentExpectation, GatewayExpectation, Serials, Trust};
use picket_identity::{CertificateDer, UnixTime};
use picket_issuing::{CertificateAuthority, Intermediate, Issued, PublicKey, days, hours};
use rustls_pki_types::ServerName;

use super::handshake::Ends;

pub(super) struct Ours {
    pub(super) now: UnixTime,
    pub(super) root: CertificateDer<'static>,
    pub(super) agent: Credential,
    pub(super) gateway: Credential,
    pub(super) expects_agent: AgentExpectation,
    pub(super) expects_gateway: GatewayExpectation,
    ends: Ends,
}

impl Ours {
    pub(super) fn new(now: UnixTime) -> anyhow::Result<Self> {
        let root = CertificateAuthority::new_root(&"picket.example".parse()?, now)?;
        let acme = root.new_intermediate(Intermediate::Tenant("acme".parse()?), now)?;
        let gateways = root.new_intermediate(Intermediate::Gateway, now)?;
        let trust = |ca: &CertificateAuthority| {
            Trust::new(root.certificate_der().clone(), [ca.certificate_der().clone()])
        };
        let (key, public) = key()?;
        let issued = acme.issue_agent(&public, &"berlin-1".parse()?, days(90), now)?;
        let serial = issued.serial.clone();
        let agent = credential(key, issued)?;
        let (key, public) = self::key()?;
        let issued =
            gateways.issue_gateway_for_tenant(&public, &"gw-1".parse()?, &"acme".parse()?, hours(24), now)?;
        let gateway = credential(key, issued)?;
        let expects_agent = AgentExpectation {
            platform: root.platform().clone(),
            tenant: "acme".parse()?,
            agent: "berlin-1".parse()?,
            trust: trust(&acme)?,
            serials: Serials::Active([serial].into()),
        };
        let expects_gateway = GatewayExpectation {
            platform: root.platform().clone(),
            tenant: "acme".parse()?,
            trust: trust(&gateways)?,
            serials: Serials::default(),
            not_before: agent.leaf().not_before,
        };
        let ends = Ends {
            client: gateway_dialling_agent(&gateway, expects_agent.clone())?.rustls_config(),
            server: agent_serving_gateways(&agent, expects_gateway.clone())?.rustls_config(),
            name: ServerName::try_from("127.0.0.1")?,
        };
        Ok(Self {
            now,
            root: root.certificate_der().clone(),
            agent,
            gateway,
            expects_agent,
            expects_gateway,
            ends,
        })
    }

    pub(super) fn ends(&self) -> &Ends {
        &self.ends
    }
}

fn key() -> anyhow::Result<(PrivateKey, PublicKey)> {
    let private = PrivateKey::generate()?;
    let public = PublicKey::from_request(&private.csr("bench")?)?;
    Ok((private, public))
}

fn credential(key: PrivateKey, issued: Issued) -> anyhow::Result<Credential> {
    Ok(Credential::new(key, vec![issued.certificate, issued.issuer])?)
}
