//! The certificate authorities, onboarding, and what is issued to whom.
//!
//! Private keys of authorities are encrypted files in the key folder, and what opens them is kept elsewhere; the database
//! has the certificates. From a request for a certificate nothing is taken but the public key: everything else is the registry's.
//!
//! - [`keys`]: the key folder; [`encryption`]: how the keys in it are encrypted, and with what.
//! - [`onboarding`]: agents and gateways, with an audit row for each act.
//! - [`enrollment`]: an agent's first certificate; [`activation`] decides what its file is still good for.
//! - [`renewal`]: the next certificates, and recovery of an agent whose certificate has expired.
//! - [`first_use`]: what was issued takes the place of what was there; [`upkeep`]: what comes of time alone.
//! - [`revocation`]: what an operator takes away, and approves.
//! - [`trust`]: what agents and gateways are to trust, signed.
//! - [`step`]: why a certificate isn't issued, in words.
//! - [`rotation`]: how an authority takes another's place.
//! - [`own`]: this node's own certificates, for its gRPC and web ports.
//! - [`peer`]: which registered gateway a call comes from.
//! - [`registry`]: the gRPC service that gives gateways their certificates for tenants.
//! - [`tenants`]: tenants come, pause and go.
//! - [`workload_api`]: gateways whose certificates aren't ours.

pub mod activation;
pub mod encryption;
pub mod enrollment;
pub mod first_use;
mod issuance;
pub mod keys;
pub mod onboarding;
pub mod own;
pub mod peer;
mod record;
pub mod registry;
pub mod renewal;
pub mod revocation;
pub mod rotation;
pub mod step;
pub mod tenants;
pub mod trust;
pub mod upkeep;
pub mod workload_api;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::credential::CredentialError;
use picket_identity::enrollment::ActivationError;
use picket_identity::name::{NameError, TenantSlug};
use picket_identity::pem::PemError;
use picket_identity::spiffe::TrustDomain;
use picket_identity::trust_update::TrustUpdateError;
use picket_identity::verify::TrustError;
use picket_issuing::{CertificateAuthority, Intermediate, IssueError, days};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::clock::UnixMs;
use crate::events::EventBus;
use crate::store::authorities::{Ca, NewCa};
use crate::store::{self, Connection, Store, StoreError};
use keys::KeyFolder;

/// How long an agent's or a gateway's certificate lives: a stolen one is worth a season, and a forgotten renewal is
/// noticed by the expiry scan two weeks before.
pub const LEAF_LIFETIME: Duration = days(90);

/// Why something can't be issued or registered.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no installation here.
    #[error("there is no installation in this database; run `platform init`")]
    NotInitialised,
    /// There is one already.
    #[error("there is an installation of {0} here already; nothing was changed")]
    AlreadyInitialised(String),
    /// The file says another trust domain than the database.
    #[error(
        "the configuration says trust domain {configured}, the database was made for {found}; a trust domain never changes, \
             correct the configuration"
    )]
    OtherTrustDomain {
        /// In the configuration.
        configured: String,
        /// In the database.
        found: String,
    },
    /// An authority is missing.
    #[error("there is no active {0} authority in the database")]
    NoAuthority(String),
    /// No such thing.
    #[error("there is no {kind} {name}")]
    NotFound {
        /// What kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// There is one.
    #[error("there is a {kind} {name} already{hint}")]
    Exists {
        /// What kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What to do.
        hint: &'static str,
    },
    /// A setting can't be.
    #[error("{0}")]
    Setting(String),
    /// The tenant is suspended.
    #[error("tenant {0} is suspended: nothing is issued for it; `platform tenant resume {0}` brings it back")]
    TenantSuspended(String),
    /// The gateway doesn't work for the tenant.
    #[error("gateway {gateway} works for pool {pool}, which has no agents of {tenant}")]
    ForeignTenant {
        /// The gateway.
        gateway: String,
        /// Its pool.
        pool: String,
        /// The tenant that it asked for.
        tenant: String,
    },
    /// The gateway has more certificates for a tenant than it can need.
    #[error(
        "gateway {gateway} has {found} certificates for {tenant} that haven't ended: it asks too often; see why it starts \
         again and again"
    )]
    TooMany {
        /// The gateway.
        gateway: String,
        /// The tenant.
        tenant: String,
        /// How many.
        found: i64,
    },
    /// The agent isn't one whose recovery can be approved.
    #[error("{0}")]
    NotRecoverable(String),
    /// What the database has can't be so.
    #[error("the database is wrong about {0}")]
    Registry(String),
    /// A one-time key can't be made.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// What to trust can't be said.
    #[error(transparent)]
    Statement(#[from] TrustUpdateError),
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The request can't be read.
    #[error(transparent)]
    Request(#[from] PemError),
    /// A key can't be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Certificates can't be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// An authority's key can't be had.
    #[error(transparent)]
    Key(#[from] encryption::KeyError),
    /// It can't be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An authority can't take that step now.
    #[error(transparent)]
    Rotation(#[from] rotation::RotationError),
    /// A file.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// The authorities of this installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authority(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    events: EventBus,
    keys: KeyFolder,
    trust_domain: TrustDomain,
    statements: trust::Statements,
}

impl Authority {
    /// Makes a new installation: root, gateway CA and platform CA, and the shared pool.
    ///
    /// # Errors
    /// [`AuthorityError`]: there is one already, or a key can't be written.
    pub async fn initialise(
        store: &Store,
        keys: &KeyFolder,
        trust_domain: &TrustDomain,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        let mut write = store.write().await?;
        let now = write.now();
        if let Some(found) = store::installation::find(&mut write).await? {
            return Err(AuthorityError::AlreadyInitialised(found.trust_domain));
        }
        let at = unix_time(now);
        let root = CertificateAuthority::new_root(trust_domain, at)?;
        let gateway = root.new_intermediate(Intermediate::Gateway, at)?;
        let platform = root.new_intermediate(Intermediate::Platform, at)?;
        // Keys before rows: a row without its key is an installation that can't issue; a key without a row is nothing.
        let root_id = register(&mut write, keys, "root", None, (&root, None), now).await?;
        for (kind, authority) in [("gateway", &gateway), ("platform", &platform)] {
            register(&mut write, keys, kind, None, (authority, Some(root_id)), now).await?;
        }
        store::installation::create(&mut write, trust_domain.as_str(), now).await?;
        store::registry::insert_pool(
            &mut write,
            store::registry::SHARED_POOL,
            None,
            store::registry::SHARED_POOL_SHARDS,
        )
        .await?;
        store::audit::record(
            &mut write,
            now,
            actor,
            "platform.init",
            None,
            trust_domain.as_str(),
            "",
        )
        .await?;
        Ok(write.commit().await?)
    }

    /// The authorities of the installation in `store`, which has to be `trust_domain`'s.
    ///
    /// # Errors
    /// [`AuthorityError`]: there is none, or it is another's.
    pub async fn open(
        store: Store,
        events: EventBus,
        keys: KeyFolder,
        trust_domain: &TrustDomain,
    ) -> Result<Self, AuthorityError> {
        let mut read = store.read().await?;
        let installation = store::installation::find(&mut read)
            .await?
            .ok_or(AuthorityError::NotInitialised)?;
        if installation.trust_domain != trust_domain.as_str() {
            return Err(AuthorityError::OtherTrustDomain {
                configured: trust_domain.to_string(),
                found: installation.trust_domain,
            });
        }
        active(&mut read, "root", None).await?;
        drop(read);
        Ok(Self(Arc::new(Inner {
            store,
            events,
            keys,
            trust_domain: trust_domain.clone(),
            statements: trust::Statements::default(),
        })))
    }

    /// The platform's trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.0.trust_domain
    }

    /// Encrypts the keys that lie in the key folder in the clear, as older versions left them. Returns the names of those.
    ///
    /// # Errors
    /// [`AuthorityError`]: no encryption key, or a key that can't be read or written.
    pub async fn encrypt_keys(&self, actor: &str) -> Result<Vec<String>, AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let mut encrypted = Vec::new();
        for ca in store::authorities::list(&mut write).await? {
            if self.0.keys.encrypt(&ca)? {
                store::audit::record(
                    &mut write,
                    now,
                    actor,
                    "ca.encrypt",
                    ca.tenant.as_deref(),
                    &ca.to_string(),
                    &ca.key_ref,
                )
                .await?;
                encrypted.push(ca.to_string());
            }
        }
        write.commit().await?;
        Ok(encrypted)
    }

    /// Moves the key of the root that issues out of the key folder, encrypted as it is.
    ///
    /// # Errors
    /// [`AuthorityError`]: it isn't here, or the file can't be written.
    pub async fn move_root_key(&self, to: &Path, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let root = active(&mut write, "root", None).await?;
        let detail = to.display().to_string();
        store::audit::record(&mut write, now, actor, "ca.move-root-key", None, "root", &detail).await?;
        self.0.keys.move_out(&root, to)?;
        Ok(write.commit().await?)
    }

    /// The authority that issues for a kind, with its key.
    async fn issuer(
        &self,
        connection: &mut Connection,
        kind: &str,
        tenant: Option<&str>,
    ) -> Result<(Ca, CertificateAuthority), AuthorityError> {
        let ca = active(connection, kind, tenant).await?;
        let authority = self.0.keys.load(&ca)?;
        Ok((ca, authority))
    }

    /// The certificates that leaves of a kind are trusted from.
    async fn trusted(
        &self,
        connection: &mut Connection,
        kind: &str,
        tenant: Option<&str>,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let cas = store::authorities::trusted(connection, kind, tenant).await?;
        Ok(cas
            .into_iter()
            .map(|ca| CertificateDer::from(ca.certificate))
            .collect())
    }
}

async fn active(connection: &mut Connection, kind: &str, tenant: Option<&str>) -> Result<Ca, AuthorityError> {
    let cas = store::authorities::trusted(connection, kind, tenant).await?;
    let named = || tenant.map_or_else(|| kind.to_owned(), |tenant| format!("{kind} ({tenant})"));
    cas.into_iter()
        .find(|ca| ca.state == "active")
        .ok_or_else(|| AuthorityError::NoAuthority(named()))
}

/// Writes a new authority's key, then its row: active at once, because nobody has to learn of it first. Returns its id.
async fn register(
    connection: &mut Connection,
    keys: &KeyFolder,
    kind: &str,
    tenant: Option<&TenantSlug>,
    (authority, issuer): (&CertificateAuthority, Option<i64>),
    now: UnixMs,
) -> Result<i64, AuthorityError> {
    let reference = keys.store(kind, tenant, authority)?;
    let new = NewCa {
        kind,
        tenant: tenant.map(TenantSlug::as_str),
        certificate: authority.certificate_der(),
        key_ref: &reference,
        state: "active",
        not_after_at: unix_ms(authority.not_after()),
        issuer,
        trusted_from: store::installation::trust_sequence(connection).await?,
    };
    Ok(store::authorities::insert(connection, &new, now).await?)
}

/// A time of the database, as certificates have it.
#[must_use]
pub fn unix_time(now: UnixMs) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now).unwrap_or(0)))
}

/// A certificate's time, as the database has it.
#[must_use]
pub fn unix_ms(time: UnixTime) -> UnixMs {
    i64::try_from(time.as_secs())
        .unwrap_or(i64::MAX / 1000)
        .saturating_mul(1000)
}
