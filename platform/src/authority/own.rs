//! This node's own certificates. They live for a week at most, are made at the start and again long before they end.
//! Nobody asks for a platform node's serial; they are registered so that the platform CA waits for them before it goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::name::NodeName;
use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::{ServerTls, platform_serving_gateways, platform_serving_gateways_by_bundle};
use picket_identity::verify::bundle_face::BundleGatewayExpectation;
use picket_identity::verify::{GatewayClientExpectation, Serials, Trust};
use picket_issuing::{PublicKey, days};
use picket_workload::Svid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::record::Record;
use super::{Authority, AuthorityError, unix_time};
use crate::clock::system_now;
use crate::config::{WebConfig, WebSecurity};
use crate::store::{self, StoreError};

/// How long they live.
const LIFETIME: Duration = days(7);

/// How often new ones are made.
pub const RENEW_EVERY: Duration = days(1);

/// The web port's key, in the data folder: kept, so that a person who trusted it once need not again.
const WEB_KEY: &str = "web.key";

impl Authority {
    /// How this node takes gateways' connections: a new leaf of the platform CA, and whom it expects.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn grpc_tls(&self, node: &NodeName) -> Result<ServerTls, AuthorityError> {
        let now = self.0.store.now().await?;
        let mut read = self.0.store.snapshot().await?;
        let (ca, platform) = self.issuer(&mut read, "platform", None).await?;
        let roots = self.roots(&mut read).await?;
        let gateway_cas = self.trusted(&mut read, "gateway", None).await?;
        let denied = self.denied(&mut read, None, now).await?;
        read.rollback().await.map_err(StoreError::from)?;
        let key = PrivateKey::generate()?;
        let id = SpiffeId::Platform {
            platform: self.0.trust_domain.clone(),
            node: node.clone(),
        };
        let request = PublicKey::from_request(&key.csr(&id.common_name())?)?;
        let issued = platform.issue_platform_node(&request, node, LIFETIME, unix_time(system_now()))?;
        let record = Record {
            issuer_ca: ca.id,
            subject_kind: "platform",
            tenant: None,
            subject: node.as_str(),
            id: &id,
            key: &request,
            state: "pending",
        };
        let mut write = self.0.store.write().await?;
        let registered = record.insert(&mut write, &issued).await?;
        store::certificates::promote(&mut write, &registered, now).await?;
        write.commit().await?;
        let credential = Credential::new(key, vec![issued.certificate, issued.issuer])?;
        let expected = GatewayClientExpectation {
            platform: self.0.trust_domain.clone(),
            trust: Trust::with_roots(roots, gateway_cas)?,
            // Each call looks the serial up in the registry: a gateway that was added a moment ago is served at once. What
            // was revoked doesn't get as far as a call.
            serials: Serials::AllBut(denied.into_iter().collect()),
        };
        platform_serving_gateways(&credential, expected)
            .map_err(|error| AuthorityError::Tls(error.to_string()))
    }

    /// The same where this node's key and certificate come from a Workload API. What is expected is an SVID below the same
    /// trust bundle; our own gateway CA counts for nothing there.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn grpc_tls_by_svid(&self, svid: &Svid) -> Result<ServerTls, AuthorityError> {
        let mut read = self.0.store.read().await?;
        let revoked = store::gateways::revoked_by_workload_api(&mut read).await?;
        drop(read);
        let revoked: Result<_, _> = revoked.iter().map(|name| name.parse()).collect();
        let expected = BundleGatewayExpectation {
            bundle: svid.bundle().clone(),
            revoked: revoked?,
        };
        platform_serving_gateways_by_bundle(svid.credential(), expected)
            .map_err(|error| AuthorityError::Tls(error.to_string()))
    }

    /// How this node takes browsers' connections; `None` where it serves plain HTTP.
    ///
    /// # Errors
    /// [`AuthorityError`]: the given certificate or key can't be used.
    pub async fn web_tls(
        &self,
        web: &WebConfig,
        keys: &Path,
    ) -> Result<Option<Arc<rustls::ServerConfig>>, AuthorityError> {
        let (chain, key) = match &web.security {
            WebSecurity::Plain => return Ok(None),
            WebSecurity::Given { certificate, key } => given(certificate, key)?,
            WebSecurity::PlatformCa => self.web_leaf(web, keys).await?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| {
                AuthorityError::Tls(format!("the web port's certificate can't be used: {error}"))
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    async fn web_leaf(
        &self,
        web: &WebConfig,
        keys: &Path,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        let mut read = self.0.store.read().await?;
        let (_, platform) = self.issuer(&mut read, "platform", None).await?;
        drop(read);
        let path = keys.join(WEB_KEY);
        if !path.exists() {
            PrivateKey::generate()?.store(&path)?;
        }
        let key = PrivateKey::load(&path)?;
        let request = PublicKey::from_request(&key.csr("web")?)?;
        let issued = platform.issue_web_server(&request, &web.names, LIFETIME, unix_time(system_now()))?;
        let key = given_key(&path)?;
        Ok((vec![issued.certificate, issued.issuer], key))
    }
}

fn given(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
    let text = std::fs::read(certificate).map_err(|source| AuthorityError::File {
        action: "read the certificate",
        path: certificate.to_owned(),
        source,
    })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok((chain, given_key(key)?)),
        Ok(_) => Err(AuthorityError::Tls(format!(
            "{} holds no certificate in PEM",
            certificate.display()
        ))),
        Err(error) => Err(AuthorityError::Tls(format!("{}: {error}", certificate.display()))),
    }
}

fn given_key(path: &Path) -> Result<PrivateKeyDer<'static>, AuthorityError> {
    let text = std::fs::read(path).map_err(|source| AuthorityError::File {
        action: "read the key",
        path: path.to_owned(),
        source,
    })?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| AuthorityError::Tls(format!("{}: {error}", path.display())))
}
