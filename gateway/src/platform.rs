//! Who this gateway is to the platform, and its connections there.
//!
//! - [`by_workload_api`]: the same, where key and certificate come from a Workload API rather than from a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use picket_identity::Serial;
use picket_identity::bundle::{self, BundleError, Identity, IdentityBundle};
use picket_identity::connect::{self, Connection, DialError, DialLimits};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::name::GatewayName;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::tls::{ClientTls, gateway_dialling_platform};
use picket_identity::verify::{self, Refusal, Serials, Verified, peer_alert};
use picket_proto::platform::v1::registry_client::RegistryClient;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Mutex;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::config::{Config, IdentitySource};
use crate::telemetry;

mod by_workload_api;

use by_workload_api::BySvid;
pub use by_workload_api::Watched;

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
    /// The Workload API gives nothing now.
    #[error("{0}")]
    WorkloadApi(Arc<picket_workload::Problem>),
    /// There is nothing to enrol.
    #[error(
        "this gateway's identity comes from the Workload API at {0}: there is nothing to enrol; register it with `platform gateway add --workload-api`"
    )]
    NoFolder(picket_workload::Socket),
    /// No TLS configuration can be made of it.
    #[error("{0}")]
    Tls(#[from] picket_identity::tls::TlsError),
}

/// Who this gateway is to the platform, and what it trusts.
#[derive(Debug)]
pub struct GatewayIdentity {
    held: Held,
    gateway: GatewayName,
    platform: TrustDomain,
    tls: ClientTls,
}

/// Key, certificate and trust.
#[derive(Debug)]
enum Held {
    /// From the identity folder.
    Folder(Box<Identity>),
    /// From a Workload API.
    Svid(BySvid),
}

impl GatewayIdentity {
    /// Reads the identity folder.
    ///
    /// # Errors
    /// There is none, it can't be used, or it is somebody else's.
    pub fn load(config: &Config) -> Result<Self, IdentityError> {
        let folder = folder_of(config)?;
        if !bundle::has_identity(folder) {
            let folder = folder.to_owned();
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
        let identity = install(folder_of(config)?, &bundle).map_err(cannot_use(path))?;
        Self::of(config, identity)
    }

    fn of(config: &Config, identity: Identity) -> Result<Self, IdentityError> {
        let (gateway, platform) = check_owner(config, identity.id())?;
        let expectation = identity.platform_expectation(Serials::default());
        let expectation = expectation.ok_or_else(|| foreign(config, identity.id()))?;
        let tls = gateway_dialling_platform(identity.credential(), expectation)?;
        Ok(Self {
            held: Held::Folder(Box::new(identity)),
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

    /// The platform's roots. None yet where the identity comes from a Workload API and the platform hasn't said them.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        match &self.held {
            Held::Folder(identity) => identity.peers().roots(),
            Held::Svid(held) => held.roots(),
        }
    }

    /// The CAs of the platform's nodes. None where those are verified by a trust bundle.
    pub fn platform_cas(&self) -> Vec<CertificateDer<'static>> {
        match &self.held {
            Held::Folder(identity) => identity.peers().cas().iter().map(|ca| ca.der().clone()).collect(),
            Held::Svid(_) => Vec::new(),
        }
    }

    /// The sequence of what is trusted.
    pub fn trust_sequence(&self) -> u64 {
        match &self.held {
            Held::Folder(identity) => identity.trust_sequence(),
            Held::Svid(held) => held.trust_sequence(),
        }
    }

    /// Key and chain.
    pub fn credential(&self) -> &Credential {
        match &self.held {
            Held::Folder(identity) => identity.credential(),
            Held::Svid(held) => held.svid().credential(),
        }
    }

    /// The certificate, as our own verifier sees it.
    pub fn verified(&self) -> &Verified {
        match &self.held {
            Held::Folder(identity) => identity.verified(),
            Held::Svid(held) => held.svid().verified(),
        }
    }
}

fn folder_of(config: &Config) -> Result<&Path, IdentityError> {
    match &config.identity {
        IdentitySource::Folder(folder) => Ok(folder),
        IdentitySource::WorkloadApi { socket, .. } => Err(IdentityError::NoFolder(socket.clone())),
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
    /// Where the identity comes from a Workload API.
    watched: Option<Watched>,
    /// For questions to the registry, with the serial number of the own certificate that it was made with.
    registry: Mutex<Option<(Serial, Connection)>>,
}

impl Link {
    /// Reads the identity folder, or asks the Workload API until there is something to say.
    ///
    /// # Errors
    /// As [`GatewayIdentity::load`], or what the Workload API's problem is.
    pub async fn open(config: &Config) -> Result<Self, IdentityError> {
        match Watched::start(config) {
            None => Self::load(config),
            Some(watched) => {
                let svid = watched.first_answer().await;
                Self::by_workload_api(config, watched, svid.map_err(IdentityError::WorkloadApi)?)
            }
        }
    }

    /// Reads the identity folder.
    ///
    /// # Errors
    /// As [`GatewayIdentity::load`].
    pub fn load(config: &Config) -> Result<Self, IdentityError> {
        Ok(Self::with(config, GatewayIdentity::load(config)?, None))
    }

    fn with(config: &Config, identity: GatewayIdentity, watched: Option<Watched>) -> Self {
        Self(Arc::new(Inner {
            config: config.clone(),
            identity: ArcSwap::from_pointee(identity),
            watched,
            registry: Mutex::new(None),
        }))
    }

    /// Who this gateway is.
    pub fn identity(&self) -> Arc<GatewayIdentity> {
        self.0.identity.load_full()
    }

    /// The folder that it is kept in, where it is in one.
    pub fn folder(&self) -> Option<&Path> {
        self.0.config.identity.folder()
    }

    /// Takes up what was enrolled since; keeps the last good identity where that can't be used.
    pub fn reload_identity(&self) {
        if let Some(watched) = &self.0.watched {
            return self.take_svid(watched);
        }
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
        let folder = folder_of(&self.0.config)?.to_owned();
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
        if self.0.watched.is_some() {
            return telemetry::own_svid(not_after);
        }
        telemetry::own_certificate(not_after, verify::now().as_secs());
    }

    /// Makes a verified connection of its own.
    ///
    /// # Errors
    /// The platform can't be reached, or one side doesn't accept the other.
    pub async fn dial(&self) -> Result<Channel, Unavailable> {
        self.dial_until().await.map(|(channel, _)| channel)
    }

    /// The same, and the last second of it: when the first certificate of either side ends.
    ///
    /// # Errors
    /// As [`Link::dial`].
    pub async fn dial_until(&self) -> Result<(Channel, UnixTime), Unavailable> {
        let identity = self.identity();
        let connection = self.connect(&identity).await?;
        let ends = connection.verified.chain_not_after();
        Ok((
            connection.channel,
            ends.min(identity.verified().chain_not_after()),
        ))
    }

    /// For questions to the registry: one connection for all of them, made with the newest of the own certificates. A
    /// session may go on for as long as the certificate that it began with is valid; what is asked beside it is asked with
    /// the one that counts now.
    ///
    /// # Errors
    /// The platform can't be reached, or one side doesn't accept the other.
    pub async fn registry(&self) -> Result<RegistryClient<Channel>, Unavailable> {
        let mut kept = self.0.registry.lock().await;
        let identity = self.identity();
        let serial = identity.verified().serial();
        if let Some((made_with, connection)) = &*kept
            && made_with == serial
            && !connection.is_closed()
        {
            return Ok(RegistryClient::new(connection.channel.clone()));
        }
        let connection = self.connect(&identity).await?;
        let client = RegistryClient::new(connection.channel.clone());
        *kept = Some((serial.clone(), connection));
        Ok(client)
    }

    async fn connect(&self, identity: &GatewayIdentity) -> Result<Connection, Unavailable> {
        let target = &self.0.config.platform;
        let connection = connect::connect(target, &identity.tls, &DialLimits::default()).await;
        connection.map_err(|error| match error {
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
