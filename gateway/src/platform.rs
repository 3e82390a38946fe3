//! Who this gateway is to the platform, and its connections there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use picket_identity::bundle::{self, BundleError, Identity, IdentityBundle};
use picket_identity::connect::{self, DialError, DialLimits};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::name::GatewayName;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::tls::{ClientTls, gateway_dialling_platform};
use picket_identity::verify::{self, Refusal, Serials, Trust, Verified, peer_alert};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::config::Config;
use crate::telemetry;

/// Why this gateway has no identity that it could act with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There was no enrolment yet.
    #[error(
        "{} holds no identity yet: give {} to `platform gateway add`, and the bundle that it writes to `gateway enroll`",
        .folder.display(),
        bundle::request_path(.folder).display()
    )]
    NotEnrolled {
        /// The identity folder.
        folder: PathBuf,
    },
    /// The bundle, or what was installed from it, can't be used.
    #[error("{}: {source}", .path.display())]
    Bundle {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<BundleError>,
    },
    /// It is for another gateway, or none.
    #[error(
        "the certificate is for {got}, expected {expected}: correct `name` or `trust_domain` in the configuration, or enrol with this gateway's own bundle"
    )]
    Foreign {
        /// What the configuration says.
        expected: String,
        /// What the certificate says.
        got: SpiffeId,
    },
    /// The installation was interrupted; what was there is whole.
    #[error("the installation of the identity was interrupted: {0}")]
    Interrupted(String),
    /// No TLS configuration can be made of it.
    #[error("{0}")]
    Tls(#[from] picket_identity::tls::TlsError),
}

/// Who this gateway is to the platform, and what it trusts.
#[derive(Debug)]
pub struct GatewayIdentity {
    identity: Identity,
    gateway: GatewayName,
    platform: TrustDomain,
    tls: ClientTls,
}

impl GatewayIdentity {
    /// Reads the identity folder.
    ///
    /// # Errors
    /// There is none, it can't be used, or it is somebody else's.
    pub fn load(config: &Config) -> Result<Self, IdentityError> {
        let folder = &config.identity_dir;
        if !bundle::has_identity(folder) {
            let folder = folder.clone();
            return Err(IdentityError::NotEnrolled { folder });
        }
        let identity = bundle::load(folder, verify::now()).map_err(cannot_use(folder))?;
        Self::of(config, identity)
    }

    /// Verifies a bundle and installs it in the identity folder: all of it or nothing.
    ///
    /// # Errors
    /// It can't be used, or is somebody else's; nothing was installed.
    pub fn enroll(config: &Config, path: &Path) -> Result<Self, IdentityError> {
        let bundle = bundle::read(path).map_err(cannot_use(path))?;
        check_owner(config, &bundle.spiffe_id)?;
        let identity = install(&config.identity_dir, &bundle).map_err(cannot_use(path))?;
        Self::of(config, identity)
    }

    fn of(config: &Config, identity: Identity) -> Result<Self, IdentityError> {
        let (gateway, platform) = check_owner(config, identity.id())?;
        let expectation = identity.platform_expectation(Serials::default());
        let expectation = expectation.ok_or_else(|| foreign(config, identity.id()))?;
        let tls = gateway_dialling_platform(identity.credential(), expectation)?;
        Ok(Self {
            identity,
            gateway,
            platform,
            tls,
        })
    }

    /// The gateway's name.
    pub fn gateway(&self) -> &GatewayName {
        &self.gateway
    }

    /// The platform's trust domain.
    pub fn platform(&self) -> &TrustDomain {
        &self.platform
    }

    /// The platform's roots, and the CAs of its nodes.
    pub fn trust(&self) -> &Trust {
        self.identity.peers()
    }

    /// The sequence of what is trusted.
    pub fn trust_sequence(&self) -> u64 {
        self.identity.trust_sequence()
    }

    /// Key and chain.
    pub fn credential(&self) -> &Credential {
        self.identity.credential()
    }

    /// The certificate, as our own verifier sees it.
    pub fn verified(&self) -> &Verified {
        self.identity.verified()
    }
}

fn install(folder: &Path, bundle: &IdentityBundle) -> Result<Identity, BundleError> {
    bundle::install(folder, bundle, verify::now())
}

fn cannot_use(path: &Path) -> impl FnOnce(BundleError) -> IdentityError {
    move |source| IdentityError::Bundle {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn check_owner(config: &Config, id: &SpiffeId) -> Result<(GatewayName, TrustDomain), IdentityError> {
    match id {
        SpiffeId::Gateway { platform, gateway }
            if *gateway == config.name
                && config
                    .trust_domain
                    .as_ref()
                    .is_none_or(|expected| expected == platform) =>
        {
            Ok((gateway.clone(), platform.clone()))
        }
        other => Err(foreign(config, other)),
    }
}

fn foreign(config: &Config, got: &SpiffeId) -> IdentityError {
    let domain = config.trust_domain.as_ref().map_or("*", TrustDomain::as_str);
    IdentityError::Foreign {
        expected: format!("spiffe://{domain}/gateway/{}", config.name),
        got: got.clone(),
    }
}

/// The way to the platform. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    identity: ArcSwap<GatewayIdentity>,
}

impl Link {
    /// Reads the identity folder.
    ///
    /// # Errors
    /// As [`GatewayIdentity::load`].
    pub fn load(config: &Config) -> Result<Self, IdentityError> {
        let identity = GatewayIdentity::load(config)?;
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            identity: ArcSwap::from_pointee(identity),
        })))
    }

    /// Who this gateway is.
    pub fn identity(&self) -> Arc<GatewayIdentity> {
        self.0.identity.load_full()
    }

    /// The folder that it is kept in.
    pub fn folder(&self) -> &Path {
        &self.0.config.identity_dir
    }

    /// Takes up what was enrolled since; keeps the last good identity where that can't be used.
    pub fn reload_identity(&self) {
        match GatewayIdentity::load(&self.0.config) {
            Ok(identity) => self.publish(identity),
            Err(error) => {
                telemetry::identity_not_reloaded(&error);
                self.say_until_when();
            }
        }
    }

    /// Verifies another certificate, or other trust, and installs it in the folder: all of it or nothing. With a key where
    /// the certificate is for another one.
    ///
    /// # Errors
    /// It can't be used, or is somebody else's; nothing was changed.
    pub(crate) async fn install(
        &self,
        bundle: IdentityBundle,
        key: Option<PrivateKey>,
    ) -> Result<(), IdentityError> {
        check_owner(&self.0.config, &bundle.spiffe_id)?;
        let folder = self.folder().to_owned();
        let path = folder.clone();
        let installed = tokio::task::spawn_blocking(move || match key {
            Some(key) => bundle::install_with_key(&folder, &bundle, &key, verify::now()),
            None => bundle::install(&folder, &bundle, verify::now()),
        });
        let identity = match installed.await {
            Ok(installed) => installed.map_err(cannot_use(&path))?,
            Err(error) => return Err(IdentityError::Interrupted(error.to_string())),
        };
        self.publish(GatewayIdentity::of(&self.0.config, identity)?);
        Ok(())
    }

    fn publish(&self, identity: GatewayIdentity) {
        let before = self.identity();
        if before.verified().leaf() != identity.verified().leaf() {
            telemetry::own_identity_changed(identity.verified().serial());
        }
        self.0.identity.store(Arc::new(identity));
        self.say_until_when();
    }

    fn say_until_when(&self) {
        let not_after = self.identity().verified().not_after().as_secs();
        telemetry::own_certificate(not_after, verify::now().as_secs());
    }

    /// Makes a verified connection of its own.
    ///
    /// # Errors
    /// The platform can't be reached, or one side doesn't accept the other.
    pub async fn dial(&self) -> Result<Channel, Unavailable> {
        let identity = self.identity();
        let target = &self.0.config.platform;
        let connection = connect::connect(target, &identity.tls, &DialLimits::default()).await;
        connection
            .map(|connection| connection.channel)
            .map_err(|error| match error {
                DialError::Tls(refusal) => {
                    Unavailable::Refused(format!("{target} isn't our platform: {refusal}"))
                }
                DialError::RefusedByPeer { alert } => Unavailable::Refused(not_accepted(alert)),
                error => Unavailable::away(error.to_string()),
            })
    }
}

/// Why the platform gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// It can't be reached, or can't answer now.
    #[error("the platform can't be reached: {0}")]
    Away(String),
    /// It doesn't accept this gateway or what it asks, or isn't our platform.
    #[error("refused: {0}")]
    Refused(String),
}

impl Unavailable {
    pub(crate) fn away(detail: impl Into<String>) -> Self {
        Self::Away(detail.into())
    }

    /// What a failed call says.
    pub fn from_status(status: &Status) -> Self {
        if let Some(refusal) = Refusal::from_error(status) {
            return Self::Refused(refusal.to_string());
        }
        if let Some(alert) = peer_alert(status) {
            return Self::Refused(not_accepted(alert));
        }
        let detail = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::NotFound => {
                Self::Refused(detail)
            }
            _ => Self::Away(detail),
        }
    }
}

fn not_accepted(alert: impl std::fmt::Debug) -> String {
    format!(
        "the platform ended the connection with the TLS alert {alert:?}: it doesn't accept this gateway's certificate; \
         see `gateway cert show` here and `platform gateway list` there"
    )
}
