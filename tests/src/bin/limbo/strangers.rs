//! All faces of the verifier, before certificates that aren't ours.

use std::cell::Cell;
use std::fmt;

use picket_identity::UnixTime;
use picket_identity::profile::Leaf;
use picket_identity::spiffe::TrustDomain;
use picket_identity::verify::{
    AgentExpectation, Expectation, GatewayClientExpectation, GatewayExpectation, PlatformExpectation,
    RecoveryExpectation, Serials, Trust,
};
use picket_issuing::{CertificateAuthority, Intermediate};

use crate::case::Case;

/// Every face, with CAs of our own; and with those of a case, where they may be trusted at all.
pub(crate) struct Strangers {
    platform: TrustDomain,
    own: Vec<Box<dyn Expectation>>,
    refused: Cell<u32>,
    trusted: Cell<u32>,
}

impl Strangers {
    pub(crate) fn new(now: UnixTime) -> anyhow::Result<Self> {
        let platform: TrustDomain = "picket.example".parse()?;
        let root = CertificateAuthority::new_root(&platform, now)?;
        let below = |kind| root.new_intermediate(kind, now);
        let cas = [
            below(Intermediate::Tenant("acme".parse()?))?,
            below(Intermediate::Gateway)?,
            below(Intermediate::Platform)?,
        ];
        let trust = Trust::new(
            root.certificate_der().clone(),
            cas.iter().map(|ca| ca.certificate_der().clone()),
        )?;
        Ok(Self {
            own: faces(&platform, &trust)?,
            platform,
            refused: Cell::new(0),
            trusted: Cell::new(0),
        })
    }

    /// What is wrong, if the leaf of a case passes for anybody.
    pub(crate) fn problem(&self, case: &Case, now: UnixTime) -> Option<String> {
        if Leaf::parse(&case.leaf).is_ok() {
            return Some("its leaf has the profile of an identity".to_owned());
        }
        let mut faces = Vec::new();
        // As if its own CAs were pinned: where they have our profile.
        if let Ok(trust) = Trust::with_roots(case.roots.clone(), case.intermediates.clone()) {
            self.trusted.set(self.trusted.get() + 1);
            faces = self::faces(&self.platform, &trust).ok()?;
        }
        let mut sent = vec![case.leaf.clone()];
        sent.extend(case.intermediates.iter().cloned());
        for face in self.own.iter().chain(&faces) {
            match face.verify(&sent, now) {
                Ok(verified) => return Some(format!("its leaf passes as {}", verified.id())),
                Err(_) => self.refused.set(self.refused.get() + 1),
            }
        }
        None
    }
}

fn faces(platform: &TrustDomain, trust: &Trust) -> anyhow::Result<Vec<Box<dyn Expectation>>> {
    let (platform, trust) = (platform.clone(), trust.clone());
    let agent = AgentExpectation {
        platform: platform.clone(),
        tenant: "acme".parse()?,
        agent: "berlin-1".parse()?,
        trust: trust.clone(),
        serials: Serials::default(),
    };
    Ok(vec![
        Box::new(RecoveryExpectation(agent.clone())),
        Box::new(agent),
        Box::new(GatewayExpectation {
            platform: platform.clone(),
            tenant: "acme".parse()?,
            trust: trust.clone(),
            serials: Serials::default(),
            not_before: UnixTime::since_unix_epoch(std::time::Duration::ZERO),
        }),
        Box::new(GatewayClientExpectation {
            platform: platform.clone(),
            trust: trust.clone(),
            serials: Serials::default(),
        }),
        Box::new(PlatformExpectation {
            platform,
            trust,
            serials: Serials::default(),
        }),
    ])
}

impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "none has the profile; refused {} times, by all faces; the CAs of {} cases may be pinned at all.",
            self.refused.get(),
            self.trusted.get()
        )
    }
}
