//! The certificate authorities of a small platform, made once for a process.

use std::sync::LazyLock;
use std::time::Duration;

use picket_identity::UnixTime;
use picket_identity::verify::{AgentExpectation, Serials, Trust};
use picket_issuing::{CertificateAuthority, Intermediate};

/// 2027-01-15: when everything here happens.
pub(crate) const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

pub(crate) const AGENT: &str = "spiffe://acme.picket.example/agent/berlin-1";

pub(crate) struct Platform {
    pub(crate) root: CertificateAuthority,
    pub(crate) acme: CertificateAuthority,
    pub(crate) gateways: CertificateAuthority,
    pub(crate) nodes: CertificateAuthority,
}

pub(crate) static PLATFORM: LazyLock<Platform> = LazyLock::new(|| {
    let root = CertificateAuthority::new_root(&"picket.example".parse().unwrap(), NOW).unwrap();
    let below = |kind| root.new_intermediate(kind, NOW).unwrap();
    Platform {
        acme: below(Intermediate::Tenant("acme".parse().unwrap())),
        gateways: below(Intermediate::Gateway),
        nodes: below(Intermediate::Platform),
        root,
    }
});

impl Platform {
    /// What a gateway expects of berlin-1.
    pub(crate) fn expects_agent(&self) -> AgentExpectation {
        let trust = Trust::new(
            self.root.certificate_der().clone(),
            [self.acme.certificate_der().clone()],
        );
        AgentExpectation {
            platform: self.root.platform().clone(),
            tenant: "acme".parse().unwrap(),
            agent: "berlin-1".parse().unwrap(),
            trust: trust.unwrap(),
            serials: Serials::default(),
        }
    }
}
