//! This process's own certificates, and whom its gRPC port accepts: made anew long before they end, and as soon as what is to
//! be trusted changes. A new snapshot also verifies the gateways that are connected already, and cuts off those that it
//! doesn't accept.

use std::sync::Arc;
use std::time::Duration;

use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::ServerTls;
use picket_workload::{Source, Svid};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Services;
use super::web::WebTlsConfig;
use crate::authority::AuthorityError;
use crate::authority::own::RENEW_EVERY;
use crate::config::Config;
use crate::metrics::{authority as report_trust, serving as report};
use crate::store;

/// How often the sequence of the trust is looked at: a revoked gateway is cut off within seconds, whichever process revoked
/// it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pause after a failure, which is usually a key file that isn't there.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What the two ports serve with.
pub(super) struct Certificates {
    services: Services,
    config: Config,
    grpc: watch::Sender<GrpcTls>,
    web: watch::Sender<WebTlsConfig>,
    /// Where the gRPC port's come from a Workload API.
    source: Option<Source>,
    /// What the present gRPC snapshot goes by.
    sequence: i64,
    made: tokio::time::Instant,
}

/// `None` as long as a Workload API that it should come from has given none.
pub(super) type GrpcTls = Option<Arc<ServerTls>>;

/// The first ones, and where the next ones will come from.
pub(super) type Ports = (watch::Receiver<GrpcTls>, watch::Receiver<WebTlsConfig>);

impl Certificates {
    /// Makes the first ones.
    pub(super) async fn make(services: Services, config: Config) -> Result<(Self, Ports), AuthorityError> {
        // Read first: what changes in between makes a second snapshot, and not none.
        let sequence = store::installation::trust_sequence(&mut *services.store.read().await?).await?;
        let source = config.workload_api.clone().map(|socket| {
            let id = SpiffeId::Platform {
                platform: config.trust_domain.clone(),
                node: config.node.clone(),
            };
            Source::start(socket, id)
        });
        let grpc = grpc_tls(&services, &config, source.as_ref()).await?;
        let web = services.authority.web_tls(&config.web, &config.keys()).await?;
        let (grpc, grpc_receiver) = watch::channel(grpc);
        let (web, web_receiver) = watch::channel(web);
        let made = Self {
            services,
            config,
            grpc,
            web,
            source,
            sequence,
            made: tokio::time::Instant::now(),
        };
        Ok((made, (grpc_receiver, web_receiver)))
    }

    /// Makes the next ones until it is told to stop. Where that fails, the last good ones stay, and it is tried again.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut svids = self.source.as_ref().map(Source::subscribe);
        let mut has_new_svid = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed(&mut svids) => has_new_svid = true,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let sequence = match self.look().await {
                Ok(sequence) => sequence,
                Err(error) => {
                    report::watch_failed(&error);
                    continue;
                }
            };
            let is_old = self.made.elapsed() >= RENEW_EVERY;
            if sequence == self.sequence && !is_old && !has_new_svid {
                continue;
            }
            let is_only_svid = sequence == self.sequence && !is_old;
            if let Err(error) = self.renew(sequence).await {
                report::renewal_failed("grpc", &error);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN_AFTER) => {}
                }
                continue;
            }
            has_new_svid = false;
            if is_only_svid {
                continue;
            }
            self.made = tokio::time::Instant::now();
            match self
                .services
                .authority
                .web_tls(&self.config.web, &self.config.keys())
                .await
            {
                Ok(tls) => {
                    self.web.send_replace(tls);
                    report::renewed("web");
                }
                Err(error) => report::renewal_failed("web", &error),
            }
        }
    }

    async fn look(&self) -> Result<i64, store::StoreError> {
        store::installation::trust_sequence(&mut *self.services.store.read().await?).await
    }

    async fn renew(&mut self, sequence: i64) -> Result<(), AuthorityError> {
        let tls = grpc_tls(&self.services, &self.config, self.source.as_ref()).await?;
        self.grpc.send_replace(tls);
        report::renewed("grpc");
        if sequence != self.sequence {
            report_trust::trust_followed(sequence);
        }
        self.sequence = sequence;
        Ok(())
    }
}

async fn grpc_tls(
    services: &Services,
    config: &Config,
    source: Option<&Source>,
) -> Result<GrpcTls, AuthorityError> {
    let Some(source) = source else {
        return Ok(Some(Arc::new(services.authority.grpc_tls(&config.node).await?)));
    };
    match source.current() {
        Some(svid) => Ok(Some(Arc::new(services.authority.grpc_tls_by_svid(&svid).await?))),
        None => Ok(None),
    }
}

/// Never returns where there is no Workload API.
async fn changed(svids: &mut Option<watch::Receiver<Option<Arc<Svid>>>>) {
    if let Some(svids) = svids
        && svids.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
