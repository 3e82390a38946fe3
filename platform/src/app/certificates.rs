//! This process's own certificates, and whom its gRPC port accepts: made anew long before they end, and as soon as what is to
//! be trusted changes. A new snapshot also verifies the gateways that are connected already, and cuts off those that it
//! doesn't accept.

use std::sync::Arc;
use std::time::Duration;

use picket_identity::tls::ServerTls;
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
    grpc: watch::Sender<Arc<ServerTls>>,
    web: watch::Sender<WebTlsConfig>,
    /// What the present gRPC snapshot goes by.
    sequence: i64,
    made: tokio::time::Instant,
}

/// The first ones, and where the next ones will come from.
pub(super) type Ports = (watch::Receiver<Arc<ServerTls>>, watch::Receiver<WebTlsConfig>);

impl Certificates {
    /// Makes the first ones.
    pub(super) async fn make(services: Services, config: Config) -> Result<(Self, Ports), AuthorityError> {
        // Read first: what changes in between makes a second snapshot, and not none.
        let sequence = store::installation::trust_sequence(&mut *services.store.read().await?).await?;
        let grpc = services.authority.grpc_tls(&config.node).await?;
        let web = services.authority.web_tls(&config.web, &config.keys()).await?;
        let (grpc, grpc_receiver) = watch::channel(Arc::new(grpc));
        let (web, web_receiver) = watch::channel(web);
        let made = Self {
            services,
            config,
            grpc,
            web,
            sequence,
            made: tokio::time::Instant::now(),
        };
        Ok((made, (grpc_receiver, web_receiver)))
    }

    /// Makes the next ones until it is told to stop. Where that fails, the last good ones stay, and it is tried again.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
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
            if sequence == self.sequence && !is_old {
                continue;
            }
            if let Err(error) = self.renew(sequence).await {
                report::renewal_failed("grpc", &error);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN_AFTER) => {}
                }
                continue;
            }
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
        let tls = self.services.authority.grpc_tls(&self.config.node).await?;
        self.grpc.send_replace(Arc::new(tls));
        self.made = tokio::time::Instant::now();
        report::renewed("grpc");
        if sequence != self.sequence {
            report_trust::trust_followed(sequence);
        }
        self.sequence = sequence;
        Ok(())
    }
}
