//! The certificates of a whole platform, made anew for each test, and servers that show them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_identity::bundle::{self, IdentityBundle};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::enrollment::{ActivationKey, EnrollFile, Enrollment, NewEnrollFile};
use picket_identity::serve::{GrpcService, Limits, LogObserver, serve};
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::tls::{ServerTls, agent_serving_gateways, platform_serving_gateways};
use picket_identity::trust_update::{self, TrustStatement};
use picket_identity::verify::{self, GatewayClientExpectation, GatewayExpectation, Serials, Trust};
use picket_issuing::{CertificateAuthority, Intermediate, Issued, PublicKey, days, hours};
use picket_proto::agent::v1::TrustUpdate;
use picket_proto::platform::v1::{PlatformTrust, TenantTrust};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Root, gateway CAs, platform CA and tenant CAs of `picket.example`.
pub(crate) struct Authority {
    pub(crate) platform: TrustDomain,
    root: CertificateAuthority,
    /// The last one issues.
    gateway_cas: Mutex<Vec<CertificateAuthority>>,
    platform_ca: CertificateAuthority,
    tenant_cas: HashMap<String, CertificateAuthority>,
    serials: Mutex<HashMap<String, Vec<String>>>,
}

/// What an agent has in its identity folder.
#[derive(Clone)]
pub(crate) struct AgentIdentity {
    pub(crate) credential: Credential,
    pub(crate) expectation: GatewayExpectation,
}

impl AgentIdentity {
    pub(crate) fn tls(&self) -> ServerTls {
        agent_serving_gateways(&self.credential, self.expectation.clone()).unwrap()
    }

    pub(crate) fn id(&self) -> String {
        self.credential.id().to_string()
    }
}

impl Authority {
    pub(crate) fn new(tenants: &[&str]) -> Self {
        let now = verify::now();
        let platform: TrustDomain = "picket.example".parse().unwrap();
        // A year and a half old, as CAs are: certificates that were issued a while ago are below them.
        let then = before(now, days(500));
        let root = CertificateAuthority::new_root(&platform, then).unwrap();
        let below = |kind| root.new_intermediate(kind, then).unwrap();
        let tenant_ca = |tenant: &&str| {
            let ca = below(Intermediate::Tenant(tenant.parse().unwrap()));
            ((*tenant).to_owned(), ca)
        };
        Self {
            gateway_cas: Mutex::new(vec![below(Intermediate::Gateway)]),
            platform_ca: below(Intermediate::Platform),
            tenant_cas: tenants.iter().map(tenant_ca).collect(),
            root,
            platform,
            serials: Mutex::default(),
        }
    }

    fn gateway_trust(&self) -> Trust {
        Trust::new(
            self.root.certificate_der().clone(),
            self.gateway_ca_certificates(),
        )
        .unwrap()
    }

    fn gateway_ca_certificates(&self) -> Vec<CertificateDer<'static>> {
        let cas = self.gateway_cas.lock().unwrap();
        cas.iter().map(|ca| ca.certificate_der().clone()).collect()
    }

    /// A new gateway CA, which issues from now on; the ones before are trusted still.
    pub(crate) fn rotate_gateway_ca(&self) {
        let ca = self.root.new_intermediate(Intermediate::Gateway, verify::now());
        self.gateway_cas.lock().unwrap().push(ca.unwrap());
    }

    /// What the platform tells gateways to trust agents by.
    pub(crate) fn trust(&self) -> Vec<TenantTrust> {
        let mut tenants: Vec<_> = self
            .tenant_cas
            .keys()
            .map(|tenant| self.trust_of(tenant))
            .collect();
        tenants.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        tenants
    }

    pub(crate) fn trust_of(&self, tenant: &str) -> TenantTrust {
        TenantTrust {
            tenant: tenant.to_owned(),
            tenant_cas: vec![self.tenant_cas[tenant].certificate_der().to_vec().into()],
            roots: vec![self.root.certificate_der().to_vec().into()],
            ..TenantTrust::default()
        }
    }

    /// The same, with a statement of this sequence on what the tenant's agents are to trust.
    pub(crate) fn trust_with_statement(&self, tenant: &str, sequence: u64) -> TenantTrust {
        let root: &[u8] = self.root.certificate_der();
        let gateway_cas = self.gateway_ca_certificates();
        let statement = TrustStatement::new(
            self.platform.clone(),
            tenant.parse().unwrap(),
            sequence,
            [root],
            gateway_cas.iter().map(AsRef::as_ref),
            Vec::new(),
        );
        let statement = statement.to_bytes().unwrap();
        let signature = self.platform_ca.sign_statement(trust_update::CONTEXT, &statement);
        TenantTrust {
            agent_trust: Some(TrustUpdate {
                statement: statement.into(),
                signer: self.platform_ca.certificate_der().to_vec().into(),
                signature: signature.unwrap().into(),
            }),
            agent_trust_sequence: sequence,
            ..self.trust_of(tenant)
        }
    }

    /// What a gateway is to trust the platform by.
    pub(crate) fn platform_trust(&self, sequence: u64, renew: bool) -> PlatformTrust {
        PlatformTrust {
            sequence,
            roots: vec![self.root.certificate_der().to_vec().into()],
            platform_cas: vec![self.platform_ca.certificate_der().to_vec().into()],
            renew,
        }
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

    /// An agent that was enrolled just now.
    pub(crate) fn agent(&self, tenant: &str, agent: &str) -> AgentIdentity {
        self.agent_of(tenant, agent, days(0))
    }

    /// An agent that was enrolled so long ago, for 30 days.
    pub(crate) fn agent_of(&self, tenant: &str, agent: &str, age: Duration) -> AgentIdentity {
        let key = PrivateKey::generate().unwrap();
        let issued = self.issue_agent(tenant, agent, &key.csr("any").unwrap(), age);
        let chain = vec![issued.certificate, issued.issuer];
        AgentIdentity {
            credential: Credential::new(key, chain).unwrap(),
            expectation: GatewayExpectation {
                platform: self.platform.clone(),
                tenant: tenant.parse().unwrap(),
                trust: self.gateway_trust(),
                serials: Serials::default(),
                not_before: UnixTime::since_unix_epoch(Duration::ZERO),
            },
        }
    }

    /// Issues for 30 days, as of a time so long ago.
    pub(crate) fn issue_agent(&self, tenant: &str, agent: &str, csr: &[u8], age: Duration) -> Issued {
        let public = PublicKey::from_request(csr).unwrap();
        let then = before(verify::now(), age);
        let issued = self.tenant_cas[tenant]
            .issue_agent(&public, &agent.parse().unwrap(), days(30), then)
            .unwrap();
        let mut serials = self.serials.lock().unwrap();
        let of_agent = serials.entry(format!("{tenant}/{agent}")).or_default();
        of_agent.push(issued.serial.to_string());
        issued
    }

    /// An enrolment file, verified, and its activation key's public half.
    pub(crate) fn enrollment(&self, tenant: &str, agent: &str, endpoint: &str) -> (Enrollment, Vec<u8>) {
        let now = verify::now();
        let key = ActivationKey::generate().unwrap();
        let new = NewEnrollFile {
            id: &SpiffeId::Agent {
                platform: self.platform.clone(),
                tenant: tenant.parse().unwrap(),
                agent: agent.parse().unwrap(),
            },
            endpoint,
            roots: std::slice::from_ref(self.root.certificate_der()),
            gateway_cas: &self.gateway_ca_certificates(),
            trust_sequence: 1,
            key: &key,
            not_before: before(now, hours(1)),
            not_after: UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + hours(24)),
            signer: self.platform_ca.certificate_der(),
        };
        let file = EnrollFile::sign(&new, |context, bytes| {
            self.platform_ca.sign_statement(context, bytes)
        });
        (file.unwrap().verify(now).unwrap(), key.public_key())
    }

    /// How a platform node serves gateways.
    pub(crate) fn platform_tls(&self) -> ServerTls {
        let key = PrivateKey::generate().unwrap();
        let public = PublicKey::from_request(&key.csr("any").unwrap()).unwrap();
        let issued = self
            .platform_ca
            .issue_platform_node(&public, &"node-1".parse().unwrap(), days(30), verify::now())
            .unwrap();
        let credential = Credential::new(key, vec![issued.certificate, issued.issuer]).unwrap();
        let expectation = GatewayClientExpectation {
            platform: self.platform.clone(),
            trust: self.gateway_trust(),
            serials: Serials::default(),
        };
        platform_serving_gateways(&credential, expectation).unwrap()
    }

    /// Enrols `gw-1` in an identity folder.
    pub(crate) fn install_gateway(&self, folder: &Path) {
        self.install_gateway_of(folder, days(0));
    }

    /// Enrols `gw-1` in an identity folder, so long ago and for 30 days.
    pub(crate) fn install_gateway_of(&self, folder: &Path, age: Duration) {
        let key = PrivateKey::generate().unwrap();
        let bundle = self.gateway_bundle_of(&key, "gw-1", age);
        bundle::install_with_key(folder, &bundle, &key, verify::now()).unwrap();
    }

    /// What `platform gateway add` would write.
    pub(crate) fn gateway_bundle(&self, key: &PrivateKey, gateway: &str) -> IdentityBundle {
        self.gateway_bundle_of(key, gateway, days(0))
    }

    fn gateway_bundle_of(&self, key: &PrivateKey, gateway: &str, age: Duration) -> IdentityBundle {
        let issued = self.issue_gateway(&key.csr("any").unwrap(), gateway, age);
        let id = SpiffeId::Gateway {
            platform: self.platform.clone(),
            gateway: gateway.parse().unwrap(),
        };
        IdentityBundle::for_gateway(
            id,
            &issued.certificate,
            &issued.issuer,
            std::slice::from_ref(self.root.certificate_der()),
            &[self.platform_ca.certificate_der().clone()],
        )
    }

    pub(crate) fn issue_gateway(&self, csr: &[u8], gateway: &str, age: Duration) -> Issued {
        let public = PublicKey::from_request(csr).unwrap();
        let cas = self.gateway_cas.lock().unwrap();
        let then = before(verify::now(), age);
        let ca = cas.last().unwrap();
        ca.issue_gateway(&public, &gateway.parse().unwrap(), days(30), then)
            .unwrap()
    }

    /// A certificate with which a gateway may dial one tenant's agents.
    pub(crate) fn tenant_certificate(&self, gateway: &str, tenant: &str, csr: &[u8]) -> Issued {
        let public = PublicKey::from_request(csr).unwrap();
        let (gateway, tenant) = (gateway.parse().unwrap(), tenant.parse().unwrap());
        let cas = self.gateway_cas.lock().unwrap();
        let ca = cas.last().unwrap();
        ca.issue_gateway_for_tenant(&public, &gateway, &tenant, hours(24), verify::now())
            .unwrap()
    }
}

fn before(now: UnixTime, age: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()).saturating_sub(age))
}

/// A listener that serves until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    publish: watch::Sender<Arc<ServerTls>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, tls: ServerTls, service: impl GrpcService) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (publish, snapshots) = watch::channel(Arc::new(tls));
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
        Self {
            address,
            publish,
            stop,
            task,
        }
    }

    /// Shows another certificate, and expects others, from now on.
    pub(crate) fn publisher(&self) -> watch::Sender<Arc<ServerTls>> {
        self.publish.clone()
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
