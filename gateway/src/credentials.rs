//! Client certificates for the agents of each tenant: issued by the platform, valid for a day at most, renewed at half
//! life, and kept in memory only. A stolen disk of a gateway opens no agent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use picket_identity::Serial;
use picket_identity::credential::{Credential, CredentialError, PrivateKey};
use picket_identity::name::{GatewayName, TenantSlug};
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::verify::{self, GatewayExpectation, Refusal, Serials, Trust, TrustError};
use picket_proto::platform::v1::IssueTenantCertificateRequest;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::{Notify, watch};

use crate::backoff::Backoff;
use crate::clock::BootTime;
use crate::platform::{Link, Unavailable};
use crate::telemetry;

const ISSUE_DEADLINE: Duration = Duration::from_secs(10);

/// Requests to the platform's CA in flight: many tenants at a start must not become a flood of signatures.
const ISSUE_IN_FLIGHT: usize = 8;

const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// How often to look whether a certificate has reached its half life.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Why there is no certificate for a tenant.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The platform can't be asked, or refuses.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No key could be made, or the certificate isn't for it.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The issuing CA isn't one below the root that this gateway knows.
    #[error("the platform sent a CA certificate that can't be used: {0}")]
    Trust(#[from] TrustError),
    /// The certificate isn't what an agent will accept.
    #[error("the platform sent a certificate that no agent would accept: {0}")]
    Refused(#[from] Refusal),
    /// The certificate is somebody else's.
    #[error("the platform sent a certificate for {got}, expected {expected}")]
    Foreign {
        /// What was asked for.
        expected: SpiffeId,
        /// What came.
        got: SpiffeId,
    },
}

/// A key and a certificate for one tenant's agents.
#[derive(Clone, Debug)]
pub struct TenantCredential {
    credential: Credential,
    serial: Serial,
    not_before: UnixTime,
    /// Its issuer is on its way out: another is to be asked for, whatever its age.
    is_retired: bool,
}

impl TenantCredential {
    /// Key and chain.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The certificate's serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The CA that issued it.
    fn issuer(&self) -> Option<&CertificateDer<'_>> {
        self.credential.chain().get(1)
    }

    /// Whether it is still good.
    pub fn is_valid(&self, now: UnixTime) -> bool {
        now <= self.credential.not_after()
    }

    fn is_past_half_life(&self, now: UnixTime) -> bool {
        now.as_secs() >= half_life(self.not_before.as_secs(), self.credential.not_after().as_secs())
    }
}

const fn half_life(not_before: u64, not_after: u64) -> u64 {
    not_before + not_after.saturating_sub(not_before) / 2
}

/// The certificates that there are, read by every dial. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Credentials(
    Arc<ArcSwap<HashMap<TenantSlug, Arc<TenantCredential>>>>,
    Arc<Notify>,
);

impl Credentials {
    /// The certificate for a tenant's agents, unless there is none that is good.
    pub fn get(&self, tenant: &TenantSlug) -> Option<Arc<TenantCredential>> {
        let all = self.0.load();
        all.get(tenant)
            .filter(|credential| credential.is_valid(verify::now()))
            .cloned()
    }

    fn needs_one(&self, tenant: &TenantSlug) -> bool {
        self.get(tenant)
            .is_none_or(|credential| credential.is_retired || credential.is_past_half_life(verify::now()))
    }

    /// Has every certificate replaced. Until then each is good as it was.
    pub fn retire_all(&self) {
        self.retire_all_but(&CertificateDer::from_slice(&[]));
    }

    /// Has every certificate replaced that isn't by the CA with exactly this certificate: another root may have certified the
    /// same key anew. Until then each is good as it was.
    pub fn retire_all_but(&self, active: &CertificateDer<'_>) {
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            for credential in all.values_mut().filter(|kept| kept.issuer() != Some(active)) {
                *credential = Arc::new(TenantCredential {
                    is_retired: true,
                    ..TenantCredential::clone(credential)
                });
            }
            all
        });
        self.1.notify_one();
    }

    fn put(&self, tenant: &TenantSlug, credential: TenantCredential) {
        let credential = Arc::new(credential);
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(tenant.clone(), Arc::clone(&credential));
            all
        });
    }

    fn keep_only(&self, tenants: &[TenantSlug]) {
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.retain(|tenant, _| tenants.contains(tenant));
            all
        });
    }
}

/// Asks the platform for a certificate for one tenant's agents, and makes sure that they will accept it.
///
/// # Errors
/// The platform can't be asked, refuses, or sends something that can't be used.
pub async fn issue(link: &Link, tenant: &TenantSlug) -> Result<TenantCredential, IssueError> {
    let identity = link.identity();
    let key = PrivateKey::generate()?;
    let request = IssueTenantCertificateRequest {
        tenant: tenant.to_string(),
        csr: key.csr(identity.gateway().as_str())?.into(),
    };
    let mut client = link.registry().await?;
    let call = client.issue_tenant_certificate(request);
    let response = tokio::time::timeout(ISSUE_DEADLINE, call)
        .await
        .map_err(|_| Unavailable::away(format!("no answer within {} s", ISSUE_DEADLINE.as_secs())))?
        .map_err(|status| Unavailable::from_status(&status))?
        .into_inner();
    let leaf = CertificateDer::from(response.leaf.to_vec());
    let issuer = CertificateDer::from(response.issuer.to_vec());
    let expected = expected_id(identity.platform(), identity.gateway(), tenant);
    let credential = Credential::new(key, vec![leaf.clone(), issuer.clone()])?;
    if *credential.id() != expected {
        let got = credential.id().clone();
        return Err(IssueError::Foreign { expected, got });
    }
    // An agent's own verifier, against the CA that was sent and the root that was not.
    let now = verify::now();
    let expectation = GatewayExpectation {
        platform: identity.platform().clone(),
        tenant: tenant.clone(),
        trust: Trust::with_roots(identity.roots(), [issuer])?,
        serials: Serials::default(),
        not_before: now,
    };
    let verified = verify::verify_gateway(&[leaf], &expectation, now)?;
    Ok(TenantCredential {
        not_before: verified.not_before(),
        serial: verified.serial().clone(),
        is_retired: false,
        credential,
    })
}

fn expected_id(platform: &TrustDomain, gateway: &GatewayName, tenant: &TenantSlug) -> SpiffeId {
    SpiffeId::GatewayForTenant {
        platform: platform.clone(),
        gateway: gateway.clone(),
        tenant: tenant.clone(),
    }
}

/// Keeps a good certificate for each tenant in `wanted`, until its sender is gone.
pub async fn keep(credentials: Credentials, link: Link, mut wanted: watch::Receiver<Vec<TenantSlug>>) {
    link.roots_known().await;
    let mut rng = StdRng::from_os_rng();
    let mut failures: HashMap<TenantSlug, (u32, BootTime)> = HashMap::new();
    loop {
        let tenants = wanted.borrow_and_update().clone();
        credentials.keep_only(&tenants);
        failures.retain(|tenant, _| tenants.contains(tenant));
        let now = BootTime::now();
        let due: Vec<TenantSlug> = tenants
            .into_iter()
            .filter(|tenant| credentials.needs_one(tenant))
            .filter(|tenant| failures.get(tenant).is_none_or(|(_, retry_at)| *retry_at <= now))
            .collect();
        let mut issued = futures_util::stream::iter(due)
            .map(|tenant| {
                // The newest: what is trusted may have changed since the session began.
                let link = link.clone();
                async move {
                    let outcome = issue(&link, &tenant).await;
                    (tenant, outcome)
                }
            })
            .buffer_unordered(ISSUE_IN_FLIGHT);
        while let Some((tenant, outcome)) = issued.next().await {
            match outcome {
                Ok(credential) => {
                    failures.remove(&tenant);
                    telemetry::credential_issued(
                        tenant.as_str(),
                        credential.credential.not_after().as_secs(),
                    );
                    credentials.put(&tenant, credential);
                }
                Err(error) => {
                    let count = failures
                        .get(&tenant)
                        .map_or(1, |(count, _)| count.saturating_add(1));
                    let retry_in = RETRY.delay(count, &mut rng);
                    telemetry::credential_refused(tenant.as_str(), &error, retry_in);
                    failures.insert(tenant, (count, BootTime::now() + retry_in));
                }
            }
        }
        drop(issued);
        let now = BootTime::now();
        let retries = failures.values().map(|(_, retry_at)| retry_at.since(now));
        let wait = retries.min().unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = credentials.1.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_life_is_the_middle_of_the_validity() {
        assert_eq!(half_life(1_000, 2_000), 1_500);
        assert_eq!(
            half_life(2_000, 1_000),
            2_000,
            "nonsense is renewed at once, not never"
        );
    }
}
