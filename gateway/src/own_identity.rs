//! This gateway's own certificate and trust, kept good while it runs: renewed at half life or when the platform says so,
//! taken up when the platform's CAs change, and read anew when an operator has replaced the files by hand.
//!
//! Whatever comes is verified whole before it takes the place of what is there, on disk and in memory; what is there stays
//! where that fails. New connections use the newest; those that are open go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use picket_identity::bundle::IdentityBundle;
use picket_identity::credential::{CredentialError, PrivateKey};
use picket_proto::platform::v1::{GetAgentRequest, PlatformTrust, RenewGatewayRequest};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::clock::{BootTime, unix_ms};
use crate::credentials::Credentials;
use crate::platform::{GatewayIdentity, IdentityError, Link, Unavailable};
use crate::telemetry;
use crate::upkeep::plan::renewal_at;

const DEADLINE: Duration = Duration::from_secs(15);

/// Half of the certificate's life is left for this.
const RETRY: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// How often the files and the dates are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why the own certificate or trust couldn't be replaced.
#[derive(Debug, thiserror::Error)]
pub enum OwnIdentityError {
    /// The platform can't be asked, or refuses.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No key could be made.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// What came can't be used; nothing was changed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Keeps it good until the session ends, whose platform says by `told` what to trust.
pub async fn keep(link: Link, credentials: Credentials, mut told: watch::Receiver<PlatformTrust>) {
    let Some(folder) = link.folder().map(Path::to_owned) else {
        return keep_svid(link, credentials, told).await;
    };
    let mut renewal = Renewal::default();
    // As if they had never been looked at: what an operator replaced while the session was joined is read, too. What is
    // installed here is read once more for the same reason, which changes nothing.
    let mut files = Files(BTreeMap::new());
    let mut rng = StdRng::from_os_rng();
    loop {
        if renewal.is_due(&link.identity(), BootTime::now()) {
            match renew(&link).await {
                Ok(()) => {
                    renewal = Renewal::default();
                    show(&link).await;
                    // The CA that has just signed is the active one.
                    if let Some(active) = link.identity().credential().chain().get(1) {
                        credentials.retire_all_but(active);
                    }
                }
                Err(error) => {
                    let retry_in = renewal.failed(&mut rng);
                    telemetry::own_upkeep_failed("renewal", &error, Some(retry_in));
                }
            }
        }
        tokio::select! {
            changed = told.changed() => {
                if changed.is_err() {
                    return;
                }
                let trust = told.borrow_and_update().clone();
                renewal = Renewal { is_wanted: trust.renew, ..Renewal::default() };
                if let Err(error) = take_trust(&link, &trust).await {
                    telemetry::own_upkeep_failed("trust", &error, None);
                }
            }
            () = tokio::time::sleep(LOOK_AGAIN) => {
                let found = Files::look(&folder);
                if found != files {
                    // Once nothing has changed for a while: whoever copies files copies one after the other.
                    files = settled(&folder, found).await;
                    let link = link.clone();
                    // It waits for whoever is installing. One that panicked has been logged, and changed nothing.
                    let _ = tokio::task::spawn_blocking(move || link.reload_identity()).await;
                }
            }
        }
    }
}

async fn settled(folder: &Path, mut found: Files) -> Files {
    loop {
        tokio::time::sleep(LOOK_AGAIN / 2).await;
        let next = Files::look(folder);
        if next == found {
            return found;
        }
        found = next;
    }
}

/// The same where the Workload API renews: takes up what comes from it, and what the platform says.
async fn keep_svid(link: Link, credentials: Credentials, mut told: watch::Receiver<PlatformTrust>) {
    let Some(mut svids) = link.svids() else {
        return;
    };
    loop {
        tokio::select! {
            changed = told.changed() => {
                if changed.is_err() {
                    return;
                }
                if link.learn(&told.borrow_and_update().clone()) {
                    // Which CA is the active one, no certificate of our own shows here.
                    credentials.retire_all();
                }
            }
            changed = svids.changed() => {
                if changed.is_err() {
                    return;
                }
                link.reload_identity();
            }
        }
    }
}

/// When to renew.
#[derive(Default)]
struct Renewal {
    is_wanted: bool,
    failures: u32,
    not_before: BootTime,
}

impl Renewal {
    fn is_due(&self, identity: &GatewayIdentity, now: BootTime) -> bool {
        let verified = identity.verified();
        let (not_before, not_after) = (verified.not_before().as_secs(), verified.not_after().as_secs());
        let is_old = unix_ms() / 1_000 >= renewal_at(not_before, not_after, 0);
        (self.is_wanted || is_old) && now >= self.not_before
    }

    fn failed(&mut self, rng: &mut StdRng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let retry_in = RETRY.delay(self.failures, rng).max(LOOK_AGAIN);
        self.not_before = BootTime::now() + retry_in;
        retry_in
    }
}

/// Shows the new certificate to the platform, which counts it, and no more the one before, once it has seen it. What it
/// answers doesn't matter.
async fn show(link: &Link) {
    let asked = async {
        let mut registry = link.registry().await.ok()?;
        registry.get_agent(GetAgentRequest::default()).await.ok()
    };
    let _ = tokio::time::timeout(DEADLINE, asked).await;
}

/// A certificate for a new key, and what to trust with it.
async fn renew(link: &Link) -> Result<(), OwnIdentityError> {
    let identity = link.identity();
    let key = PrivateKey::generate()?;
    let request = RenewGatewayRequest {
        csr: key.csr(identity.gateway().as_str())?.into(),
    };
    let mut client = link.registry().await?;
    let response = tokio::time::timeout(DEADLINE, client.renew_gateway(request))
        .await
        .map_err(|_| Unavailable::away(format!("no answer within {} s", DEADLINE.as_secs())))?
        .map_err(|status| Unavailable::from_status(&status))?
        .into_inner();
    let leaf = CertificateDer::from(response.leaf.to_vec());
    let issuer = CertificateDer::from(response.issuer.to_vec());
    let trust = response
        .trust
        .filter(|trust| trust.sequence > identity.trust_sequence());
    let bundle = bundle(&identity, &leaf, &issuer, trust.as_ref());
    link.install(bundle, Some(key)).await?;
    let identity = link.identity();
    telemetry::own_renewed(
        identity.verified().serial(),
        identity.verified().not_after().as_secs(),
        identity.trust_sequence(),
    );
    Ok(())
}

/// What to trust the platform by, if it is newer than what is trusted already.
async fn take_trust(link: &Link, trust: &PlatformTrust) -> Result<(), OwnIdentityError> {
    let identity = link.identity();
    if trust.sequence <= identity.trust_sequence() {
        return Ok(());
    }
    let [leaf, issuer] = identity.credential().chain() else {
        return Err(CredentialError::NoCertificate.into());
    };
    let bundle = bundle(&identity, leaf, issuer, Some(trust));
    link.install(bundle, None).await?;
    telemetry::own_trust_taken(trust.sequence);
    Ok(())
}

fn bundle(
    identity: &GatewayIdentity,
    leaf: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
    trust: Option<&PlatformTrust>,
) -> IdentityBundle {
    let der = |certificates: &[bytes::Bytes]| -> Vec<CertificateDer<'static>> {
        certificates
            .iter()
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect()
    };
    let (roots, platform_cas, sequence) = match trust {
        Some(trust) => (der(&trust.roots), der(&trust.platform_cas), trust.sequence),
        None => {
            let cas = identity.platform_cas();
            (identity.roots(), cas, identity.trust_sequence())
        }
    };
    let id = identity.credential().id().clone();
    IdentityBundle {
        trust_sequence: sequence,
        ..IdentityBundle::for_gateway(id, leaf, issuer, &roots, &platform_cas)
    }
}

/// What the identity folder looks like from outside: its keys, certificates and sequences.
#[derive(Debug, PartialEq, Eq)]
struct Files(BTreeMap<std::ffi::OsString, (Option<SystemTime>, u64)>);

impl Files {
    fn look(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| {
            let name = entry.file_name();
            let extension = Path::new(&name).extension()?.to_str()?;
            if !["key", "pem", "json"].contains(&extension) {
                return None;
            }
            let metadata = entry.metadata().ok()?;
            Some((name, (metadata.modified().ok(), metadata.len())))
        });
        Self(files.collect())
    }
}
