//! The TLS configurations of the four faces.
//!
//! TLS 1.3 only, ALPN `h2`, a certificate on both sides, no SNI, and no resumption on either side: a resumed session
//! runs no verifier. There is nothing to turn any of that off.

use std::sync::Arc;

#[cfg(feature = "connect")]
use rustls::ClientConfig;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use thiserror::Error;

use crate::credential::Credential;
use crate::verify::bundle_face::BundleGatewayExpectation;
#[cfg(feature = "connect")]
use crate::verify::bundle_face::BundlePlatformExpectation;
use crate::verify::{
    self, Expectation, GatewayClientExpectation, GatewayExpectation, Reason, Refusal, Verified,
};
#[cfg(feature = "connect")]
use crate::verify::{AgentExpectation, PlatformExpectation};

#[cfg(feature = "connect")]
mod enrolling;
mod throwaway;
mod verifier;

#[cfg(feature = "connect")]
pub use enrolling::EnrollmentTls;
use verifier::ClientVerifier;
#[cfg(feature = "connect")]
use verifier::ServerVerifier;

/// The only protocol that is spoken inside.
pub const ALPN_H2: &[u8] = b"h2";

/// A configuration can't be made.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The library refused.
    #[error("TLS configuration: {0}")]
    Rustls(#[from] rustls::Error),
    /// No throw-away certificate could be made.
    #[error("throw-away certificate: {0}")]
    Throwaway(#[from] rcgen::Error),
    /// Only agents are enrolled in this way.
    #[error("{0} is no agent's identity: only agents are enrolled in this way")]
    NotAnAgent(crate::spiffe::SpiffeId),
}

/// How a server takes connections: its credential, and whom it expects.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    expectation: Arc<dyn Expectation>,
    not_after: UnixTime,
}

#[cfg(feature = "connect")]
/// How a client makes connections: its credential, and whom it expects.
#[derive(Clone, Debug)]
pub struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
    expectation: Arc<dyn Expectation>,
}

/// An agent that serves gateways.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn agent_serving_gateways(
    credential: &Credential,
    expected: GatewayExpectation,
) -> Result<ServerTls, TlsError> {
    ServerTls::new(credential, Arc::new(expected))
}

/// An agent that awaits enrolment: it has no certificate yet and shows a throw-away one, but whoever connects is verified
/// as fully as ever.
///
/// # Errors
/// The enrolment isn't an agent's, or no certificate could be made.
pub fn agent_awaiting_enrollment(
    enrollment: &crate::enrollment::Enrollment,
    now: UnixTime,
) -> Result<ServerTls, TlsError> {
    let expected = enrollment
        .gateway_expectation()
        .ok_or_else(|| TlsError::NotAnAgent(enrollment.id().clone()))?;
    let throwaway = throwaway::Throwaway::new(now)?;
    ServerTls::with(
        vec![throwaway.certificate],
        throwaway.key,
        enrollment.not_after(),
        Arc::new(expected),
    )
}

#[cfg(feature = "connect")]
/// A gateway that dials one agent whose certificate may have expired, for nothing but its renewal.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn gateway_recovering_agent(
    credential: &Credential,
    expected: verify::RecoveryExpectation,
) -> Result<ClientTls, TlsError> {
    ClientTls::new(credential, Arc::new(expected))
}

#[cfg(feature = "connect")]
/// A gateway that dials one agent.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn gateway_dialling_agent(
    credential: &Credential,
    expected: AgentExpectation,
) -> Result<ClientTls, TlsError> {
    ClientTls::new(credential, Arc::new(expected))
}

/// A platform node that serves gateways.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn platform_serving_gateways(
    credential: &Credential,
    expected: GatewayClientExpectation,
) -> Result<ServerTls, TlsError> {
    ServerTls::new(credential, Arc::new(expected))
}

#[cfg(feature = "connect")]
/// A gateway that dials the platform.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn gateway_dialling_platform(
    credential: &Credential,
    expected: PlatformExpectation,
) -> Result<ClientTls, TlsError> {
    ClientTls::new(credential, Arc::new(expected))
}

/// A platform node that serves gateways, both with SVIDs of a Workload API.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn platform_serving_gateways_by_bundle(
    credential: &Credential,
    expected: BundleGatewayExpectation,
) -> Result<ServerTls, TlsError> {
    ServerTls::new(credential, Arc::new(expected))
}

#[cfg(feature = "connect")]
/// A gateway that dials the platform, both with SVIDs of a Workload API.
///
/// # Errors
/// A credential whose key and chain don't belong together.
pub fn gateway_dialling_platform_by_bundle(
    credential: &Credential,
    expected: BundlePlatformExpectation,
) -> Result<ClientTls, TlsError> {
    ClientTls::new(credential, Arc::new(expected))
}

impl ServerTls {
    fn new(credential: &Credential, expectation: Arc<dyn Expectation>) -> Result<Self, TlsError> {
        Self::with(
            credential.chain().to_vec(),
            credential.key().to_rustls(),
            credential.not_after(),
            expectation,
        )
    }

    fn with(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        not_after: UnixTime,
        expectation: Arc<dyn Expectation>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(ClientVerifier::new(Arc::clone(&expectation), &provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            expectation,
            not_after,
        })
    }

    /// Verifies a peer again, by what it showed in its handshake: after a change of trust, or as time passes.
    ///
    /// # Errors
    /// Why it isn't accepted any more.
    pub fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        self.expectation.verify(certificates, now)
    }

    /// The last second in which our own certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// What rustls is given, for measurements of handshakes without a socket. A connection is made by
    /// [`serve`](crate::serve::serve).
    #[doc(hidden)]
    #[must_use]
    pub fn rustls_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

#[cfg(feature = "connect")]
impl ClientTls {
    fn new(credential: &Credential, expectation: Arc<dyn Expectation>) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(ServerVerifier::new(Arc::clone(&expectation), &provider));
        Ok(Self {
            config: client_config(credential, provider, verifier)?,
            expectation,
        })
    }

    /// What rustls is given, for measurements of handshakes without a socket. A connection is made by
    /// [`connect`](crate::connect::connect).
    #[doc(hidden)]
    #[must_use]
    pub fn rustls_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Verifies a peer again, by what it showed in its handshake: after a change of trust, or as time passes.
    ///
    /// # Errors
    /// Why it isn't accepted any more.
    pub fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        self.expectation.verify(certificates, now)
    }
}

#[cfg(feature = "connect")]
fn client_config(
    credential: &Credential,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(credential.chain().to_vec(), credential.key().to_rustls())?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// What was negotiated is looked at again: a configuration says what we offer, this says what came of it.
pub(crate) fn check_protocol(session: &rustls::CommonState) -> Result<(), Refusal> {
    let version = session.protocol_version();
    let alpn = session.alpn_protocol();
    if version == Some(rustls::ProtocolVersion::TLSv1_3) && alpn == Some(ALPN_H2) {
        return Ok(());
    }
    let got = format!("{version:?} with ALPN {:?}", alpn.map(String::from_utf8_lossy));
    Err(Refusal::new(
        Reason::Protocol,
        "TLS 1.3 with ALPN h2",
        &got,
        verify::now(),
    ))
}

/// aws-lc-rs, named here: a process-wide default would be whatever some dependency installed.
/// Its default key exchange groups begin with X25519MLKEM768 (`prefer-post-quantum`).
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_post_quantum_hybrid_is_preferred() {
        let groups = provider().kx_groups.clone();
        assert_eq!(
            groups.first().map(|group| group.name()),
            Some(rustls::NamedGroup::X25519MLKEM768)
        );
    }
}
