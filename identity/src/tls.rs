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
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;

use crate::credential::Credential;
use crate::verify::{
    self, Expectation, GatewayClientExpectation, GatewayExpectation, Reason, Refusal, Verified,
};
#[cfg(feature = "connect")]
use crate::verify::{AgentExpectation, PlatformExpectation};

mod verifier;

use verifier::ClientVerifier;
#[cfg(feature = "connect")]
use verifier::ServerVerifier;

/// The only protocol that is spoken inside.
pub const ALPN_H2: &[u8] = b"h2";

/// A configuration can't be made.
#[derive(Debug, Error)]
#[error("TLS configuration: {0}")]
pub struct TlsError(#[from] rustls::Error);

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

impl ServerTls {
    fn new(credential: &Credential, expectation: Arc<dyn Expectation>) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(ClientVerifier::new(Arc::clone(&expectation), &provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(credential.chain().to_vec(), credential.key().to_rustls())?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            expectation,
            not_after: credential.not_after(),
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
}

#[cfg(feature = "connect")]
impl ClientTls {
    fn new(credential: &Credential, expectation: Arc<dyn Expectation>) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(ServerVerifier::new(Arc::clone(&expectation), &provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(credential.chain().to_vec(), credential.key().to_rustls())?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = false;
        config.enable_early_data = false;
        Ok(Self {
            config: Arc::new(config),
            expectation,
        })
    }

    /// Verifies a peer again, by what it showed in its handshake: after a change of trust, or as time passes.
    ///
    /// # Errors
    /// Why it isn't accepted any more.
    pub fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        self.expectation.verify(certificates, now)
    }
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
