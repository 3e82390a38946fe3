//! A gateway whose key and certificate come from a Workload API.
//!
//! The platform is verified by the Workload API's trust bundle. What is needed beside that are the platform's roots, for the
//! certificates that it issues for tenants: the platform says them over the connection that was verified so, as it says
//! by what to trust each agent. All of it is in memory, and asked anew at each start.

use std::sync::Arc;

use picket_identity::tls::gateway_dialling_platform_by_bundle;
use picket_identity::verify::bundle_face::BundlePlatformExpectation;
use picket_proto::platform::v1::PlatformTrust;
use picket_workload::{Problem, Source, Svid};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::{GatewayIdentity, Held, IdentityError, Link, check_owner};
use crate::config::{Config, IdentitySource};
use crate::telemetry;

/// What the platform has said to trust.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    sequence: u64,
    roots: Vec<CertificateDer<'static>>,
}

/// An SVID, and what the platform has said.
#[derive(Debug)]
pub(super) struct BySvid {
    svid: Arc<Svid>,
    told: Arc<Told>,
}

impl BySvid {
    pub(super) fn svid(&self) -> &Svid {
        &self.svid
    }

    pub(super) fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.told.roots.clone()
    }

    pub(super) fn trust_sequence(&self) -> u64 {
        self.told.sequence
    }
}

/// The Workload API, and what the platform has said.
#[derive(Debug)]
pub struct Watched {
    source: Source,
    told: watch::Sender<Arc<Told>>,
}

impl Watched {
    /// Begins to ask, where the configuration says so.
    pub fn start(config: &Config) -> Option<Self> {
        let IdentitySource::WorkloadApi { socket, id } = &config.identity else {
            return None;
        };
        Some(Self {
            source: Source::start(socket.clone(), id.clone()),
            told: watch::Sender::default(),
        })
    }

    /// Waits until there is an SVID, however long that takes. Why there is none is logged meanwhile.
    pub async fn first(&self) -> Arc<Svid> {
        self.source.first().await
    }

    /// Waits until there is an SVID, or a reason why there is none.
    ///
    /// # Errors
    /// The reason.
    pub async fn first_answer(&self) -> Result<Arc<Svid>, Arc<Problem>> {
        self.source.first_answer().await
    }
}

impl Link {
    /// By an SVID that has come, and those that will.
    ///
    /// # Errors
    /// It is somebody else's, or no TLS configuration can be made of it.
    pub fn by_workload_api(
        config: &Config,
        watched: Watched,
        svid: Arc<Svid>,
    ) -> Result<Self, IdentityError> {
        let told = Arc::clone(&watched.told.borrow());
        let identity = identity(config, svid, told)?;
        let link = Self::with(config, identity, Some(watched));
        link.say_until_when();
        Ok(link)
    }

    /// Where the identity comes from a Workload API: each SVID that comes.
    pub(crate) fn svids(&self) -> Option<watch::Receiver<Option<Arc<Svid>>>> {
        self.0.watched.as_ref().map(|watched| watched.source.subscribe())
    }

    /// Takes up the newest SVID, and what the platform said last.
    pub(super) fn take_svid(&self, watched: &Watched) {
        let Some(svid) = watched.source.current() else {
            return;
        };
        let told = Arc::clone(&watched.told.borrow());
        match identity(&self.0.config, svid, told) {
            Ok(identity) => self.publish(identity),
            Err(error) => telemetry::identity_not_reloaded(&error),
        }
    }

    /// Takes up what the platform says to trust. Nothing where the identity is in a folder, which has its own roots. Whether
    /// something else was trusted before.
    pub(crate) fn learn(&self, trust: &PlatformTrust) -> bool {
        let Some(watched) = &self.0.watched else {
            return false;
        };
        let told = Told {
            sequence: trust.sequence,
            roots: trust.roots.iter().map(|der| der.to_vec().into()).collect(),
        };
        let known = Arc::clone(&watched.told.borrow());
        // The sequence only ever rises: a node that is behind has nothing to say.
        let is_behind = told.sequence < known.sequence;
        if is_behind || told.roots.is_empty() || *known == told {
            return false;
        }
        watched.told.send_replace(Arc::new(told));
        self.take_svid(watched);
        telemetry::own_trust_taken(trust.sequence);
        !known.roots.is_empty()
    }

    /// Waits until the platform's roots are known: at once where the identity is in a folder.
    pub(crate) async fn roots_known(&self) {
        if let Some(watched) = &self.0.watched {
            // The sender lives as long as this link.
            let _ = watched
                .told
                .subscribe()
                .wait_for(|told| !told.roots.is_empty())
                .await;
        }
    }
}

fn identity(config: &Config, svid: Arc<Svid>, told: Arc<Told>) -> Result<GatewayIdentity, IdentityError> {
    let (gateway, platform) = check_owner(config, svid.credential().id())?;
    let expected = BundlePlatformExpectation {
        bundle: svid.bundle().clone(),
    };
    let tls = gateway_dialling_platform_by_bundle(svid.credential(), expected)?;
    Ok(GatewayIdentity {
        held: Held::Svid(BySvid { svid, told }),
        gateway,
        platform,
        tls,
    })
}
