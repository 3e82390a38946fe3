//! The certificates of a whole platform, made anew for each test, and servers that show them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_identity::bundle::{self, IdentityBundle};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::serve::{GrpcService, Limits, LogObserver, serve};
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::tls::{ServerTls, agent_serving_gateways, platform_serving_gateways};
use picket_identity::verify::{self, GatewayClientExpectation, GatewayExpectation, Serials, Trust};
use picket_issuing::{CertificateAuthority, Intermediate, Issued, PublicKey, days, hours};
use picket_proto::platform::v1::{IssueTenantCertificateResponse, TenantTrust};
use rustls_pki_types::UnixTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Root, gateway CA, platform CA and tenant CAs of `picket.example`.
pub(crate) struct Authority {
    platform: TrustDomain,
    root: CertificateAuthority,
    gateway_ca: CertificateAuthority,
    platform_ca: CertificateAuthority,
    tenant_cas: HashMap<String, CertificateAuthority>,
    serials: Mutex<HashMap<String, Vec<String>>>,
}

impl Authority {
    pub(crate) fn new(tenants: &[&str]) -> Self {
        let now = verify::now();
        let platform: TrustDomain = "picket.example".parse().unwrap();
        let root = CertificateAuthority::new_root(&platform, now).unwrap();
        let below = |kind| root.new_intermediate(kind, now).unwrap();
        let tenant_ca = |tenant: &&str| {
            let ca = below(Intermediate::Tenant(tenant.parse().unwrap()));
            ((*tenant).to_owned(), ca)
        };
        Self {
            gateway_ca: below(Intermediate::Gateway),
            platform_ca: below(Intermediate::Platform),
            tenant_cas: tenants.iter().map(tenant_ca).collect(),
            root,
            platform,
            serials: Mutex::default(),
        }
    }

    fn trust_in(&self, ca: &CertificateAuthority) -> Trust {
        Trust::new(
            self.root.certificate_der().clone(),
            [ca.certificate_der().clone()],
        )
        .unwrap()
    }

    /// What the platform tells gateways to trust agents by.
    pub(crate) fn trust(&self) -> Vec<TenantTrust> {
        let trust = |(tenant, ca): (&String, &CertificateAuthority)| TenantTrust {
            tenant: tenant.clone(),
            tenant_cas: vec![ca.certificate_der().to_vec().into()],
            roots: vec![self.root.certificate_der().to_vec().into()],
            ..TenantTrust::default()
        };
        self.tenant_cas.iter().map(trust).collect()
    }

    /// The serial numbers of the certificates that an agent was given.
    pub(crate) fn serials(&self, tenant: &str, agent: &str) -> Vec<String> {
        let key = format!("{tenant}/{agent}");
        self.serials
            .lock()
            .unwrap()
            .get(&key)
            .cloned()
            .unwrap_or_default()
    }

    /// How an agent serves gateways, and its SPIFFE ID.
    pub(crate) fn agent_tls(&self, tenant: &str, agent: &str) -> (ServerTls, String) {
        let ca = &self.tenant_cas[tenant];
        let (credential, issued) = self.credential(ca, |key, now| {
            ca.issue_agent(key, &agent.parse().unwrap(), days(30), now)
                .unwrap()
        });
        let mut serials = self.serials.lock().unwrap();
        let of_agent = serials.entry(format!("{tenant}/{agent}")).or_default();
        of_agent.push(issued.serial.to_string());
        let expectation = GatewayExpectation {
            platform: self.platform.clone(),
            tenant: tenant.parse().unwrap(),
            trust: self.trust_in(&self.gateway_ca),
            serials: Serials::default(),
            not_before: UnixTime::since_unix_epoch(Duration::ZERO),
        };
        let tls = agent_serving_gateways(&credential, expectation).unwrap();
        (tls, credential.id().to_string())
    }

    /// How a platform node serves gateways.
    pub(crate) fn platform_tls(&self) -> ServerTls {
        let ca = &self.platform_ca;
        let (credential, _) = self.credential(ca, |key, now| {
            ca.issue_platform_node(key, &"node-1".parse().unwrap(), days(30), now)
                .unwrap()
        });
        let expectation = GatewayClientExpectation {
            platform: self.platform.clone(),
            trust: self.trust_in(&self.gateway_ca),
            serials: Serials::default(),
        };
        platform_serving_gateways(&credential, expectation).unwrap()
    }

    fn credential(
        &self,
        ca: &CertificateAuthority,
        issue: impl FnOnce(&PublicKey, UnixTime) -> Issued,
    ) -> (Credential, Issued) {
        let key = PrivateKey::generate().unwrap();
        let public = PublicKey::from_request(&key.csr("any").unwrap()).unwrap();
        let issued = issue(&public, verify::now());
        let chain = vec![issued.certificate.clone(), ca.certificate_der().clone()];
        (Credential::new(key, chain).unwrap(), issued)
    }

    /// Enrols `gw-1` in an identity folder.
    pub(crate) fn install_gateway(&self, folder: &Path) {
        let key = PrivateKey::generate().unwrap();
        key.store(&bundle::key_path(folder)).unwrap();
        bundle::install(folder, &self.gateway_bundle(&key, "gw-1"), verify::now()).unwrap();
    }

    /// What `platform gateway add` would write.
    pub(crate) fn gateway_bundle(&self, key: &PrivateKey, gateway: &str) -> IdentityBundle {
        let public = PublicKey::from_request(&key.csr("any").unwrap()).unwrap();
        let name = gateway.parse().unwrap();
        let issued = self
            .gateway_ca
            .issue_gateway(&public, &name, days(30), verify::now())
            .unwrap();
        let id = SpiffeId::Gateway {
            platform: self.platform.clone(),
            gateway: name,
        };
        IdentityBundle::for_gateway(
            id,
            &issued.certificate,
            self.gateway_ca.certificate_der(),
            std::slice::from_ref(self.root.certificate_der()),
            &[self.platform_ca.certificate_der().clone()],
        )
    }

    /// A certificate with which `gw-1` may dial one tenant's agents.
    pub(crate) fn tenant_certificate(&self, tenant: &str, csr: &[u8]) -> IssueTenantCertificateResponse {
        let public = PublicKey::from_request(csr).unwrap();
        let (gateway, tenant) = ("gw-1".parse().unwrap(), tenant.parse().unwrap());
        let issued = self
            .gateway_ca
            .issue_gateway_for_tenant(&public, &gateway, &tenant, hours(24), verify::now())
            .unwrap();
        IssueTenantCertificateResponse {
            leaf: issued.certificate.to_vec().into(),
            issuer: self.gateway_ca.certificate_der().to_vec().into(),
            not_after_unix_s: issued.not_after.as_secs(),
        }
    }
}

/// A listener that serves until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, tls: ServerTls, service: impl GrpcService) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (_, snapshots) = watch::channel(Arc::new(tls));
        let limits = Limits {
            drain: Duration::from_millis(50),
            ..Limits::default()
        };
        let observer = Arc::new(LogObserver);
        let task = tokio::spawn(serve(
            listener,
            snapshots,
            service,
            limits,
            observer,
            stop.clone(),
        ));
        Self { address, stop, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
