//! The same with rustls's own verifiers: certificates for DNS names, below a chain of the same keys (a P-384 root, a P-256
//! CA, P-256 leaves), the same provider and groups, TLS 1.3, no resumption.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use super::handshake::Ends;

const AGENT: &str = "berlin-1.acme.example";
const GATEWAY: &str = "gw-1.picket.example";

pub(super) fn ends() -> anyhow::Result<Ends> {
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let root = CertifiedIssuer::self_signed(authority("root", 1), root_key)?;
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let ca = CertifiedIssuer::signed_by(authority("CA", 0), ca_key, &root)?;
    let leaf = |name: &str| -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = CertificateParams::new([name.to_owned()])?;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let leaf = parameters.signed_by(&key, &ca)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![leaf.der().clone(), ca.der().clone()], key))
    };
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone())?;
    let roots = Arc::new(roots);

    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build()?;
    let (chain, key) = leaf(AGENT)?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;

    let servers = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
    let (chain, key) = leaf(GATEWAY)?;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(servers)
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(Ends {
        client: Arc::new(client),
        server: Arc::new(server),
        name: ServerName::try_from(AGENT)?,
    })
}

fn authority(name: &str, path_length: u8) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
