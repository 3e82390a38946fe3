//! The gRPC face of coordination: one session for each gateway process.

use std::pin::Pin;
use std::time::Duration;

use picket_proto::platform::v1::coordination_server::Coordination;
use picket_proto::platform::v1::session_request::Kind as Request_;
use picket_proto::platform::v1::session_response::Kind as Response_;
use picket_proto::platform::v1::{
    Assignment, Goodbye, Hello, Lease, PlatformTrust, SessionRequest, SessionResponse,
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::assignment::{Mark, View};
use super::lease::{self, Joined};
use super::{HEARTBEAT_MS, LEASE_MS, claims, reconcile};
use crate::app::Services;
use crate::authority::AuthorityError;
use crate::authority::peer::{self, Caller};
use crate::events::{Event, EventKind};
use crate::metrics::coordination as report;
use crate::store::gateways::Joining;
use crate::store::{StoreError, to_db};

/// How long a gateway may take to say who it is, once its call has begun.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// How often a session looks whether something that it was told has changed, where a hint says so; every fourth look it
/// looks without one.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_WITHOUT_A_HINT: u32 = 4;

/// Messages that wait for a gateway that doesn't read.
const OUTGOING: usize = 16;

/// The longest name of an instance, version or zone.
const MAX_TEXT: usize = 100;

/// Holds gateways' sessions.
#[derive(Debug, Clone)]
pub struct CoordinationService {
    services: Services,
    stop: CancellationToken,
}

impl CoordinationService {
    /// A service whose sessions end when `stop` is cancelled.
    #[must_use]
    pub const fn new(services: Services, stop: CancellationToken) -> Self {
        Self { services, stop }
    }
}

#[tonic::async_trait]
impl Coordination for CoordinationService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let gateway = peer::registered_gateway(&self.services, request.extensions()).await?;
        let (outgoing, receiver) = mpsc::channel(OUTGOING);
        let session = Session {
            services: self.services.clone(),
            stop: self.stop.clone(),
            gateway: gateway.name.clone(),
            caller: gateway,
            incoming: request.into_inner(),
            outgoing,
        };
        tokio::spawn(session.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

struct Session {
    services: Services,
    stop: CancellationToken,
    gateway: String,
    caller: Caller,
    incoming: Streaming<SessionRequest>,
    outgoing: mpsc::Sender<Result<SessionResponse, Status>>,
}

/// Why a session ends.
enum End {
    /// The gateway closed it, or its connection broke.
    Closed,
    /// It is told why it has to go.
    Goodbye(&'static str),
    /// The database.
    Store(StoreError),
    /// What the gateway is to trust can't be told.
    Authority(AuthorityError),
}

impl From<AuthorityError> for End {
    fn from(error: AuthorityError) -> Self {
        Self::Authority(error)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What was told, and what may have changed since.
struct Told {
    mark: Mark,
    view: View,
    trust: PlatformTrust,
    hinted: bool,
    looks: u32,
}

impl Session {
    async fn run(mut self) {
        let hello = match tokio::time::timeout(HELLO_WITHIN, self.incoming.message()).await {
            Ok(Ok(Some(SessionRequest {
                kind: Some(Request_::Hello(hello)),
            }))) => hello,
            Ok(Ok(None) | Err(_)) => return,
            Ok(Ok(Some(_))) | Err(_) => {
                self.fail(Status::invalid_argument("a session begins with Hello"))
                    .await;
                return;
            }
        };
        if [&hello.instance, &hello.version, &hello.zone]
            .iter()
            .any(|text| text.len() > MAX_TEXT)
            || hello.instance.is_empty()
        {
            self.fail(Status::invalid_argument(
                "Hello has an instance, and no text over 100 bytes",
            ))
            .await;
            return;
        }
        match self.join(&hello).await {
            Ok(Joined::Refused(why)) => {
                report::refused(&self.gateway, &why);
                let _gone = self.send(Response_::Goodbye(Goodbye { reason: why })).await;
            }
            Ok(Joined::Lease { pool }) => {
                report::joined(&self.gateway, &hello.instance);
                self.hold(&pool, &hello.instance).await;
            }
            Err(error) => {
                report::session_failed(&self.gateway, &error);
                self.fail(Status::unavailable("the platform can't reach its database now"))
                    .await;
            }
        }
    }

    async fn join(&self, hello: &Hello) -> Result<Joined, StoreError> {
        let joining = Joining {
            instance: &hello.instance,
            version: &hello.version,
            weight: i64::from(hello.weight.max(1)),
            zone: &hello.zone,
            trust_sequence: to_db(hello.trust_sequence),
        };
        let joined = lease::join(&self.services, &self.gateway, &joining).await?;
        if let Joined::Lease { pool } = &joined {
            // At once, so that the snapshot has the gateway's shards in it.
            reconcile::pool_once(&self.services, pool).await?;
        }
        Ok(joined)
    }

    async fn hold(mut self, pool: &str, instance: &str) {
        let mut drained = false;
        let end = match self.talk(pool, instance, &mut drained).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let why = match &end {
            End::Closed => "closed by the gateway",
            End::Goodbye(why) => why,
            End::Store(error) => {
                report::session_failed(&self.gateway, error);
                "database error"
            }
            End::Authority(error) => {
                report::session_failed(&self.gateway, error);
                "error of the authorities"
            }
        };
        if let End::Goodbye(reason) = end {
            let _gone = self
                .send(Response_::Goodbye(Goodbye {
                    reason: reason.to_owned(),
                }))
                .await;
        }
        if let Err(error) = lease::session_ended(&self.services, &self.gateway, instance, drained).await {
            report::session_failed(&self.gateway, &error);
        }
        report::left(&self.gateway, instance, why);
    }

    /// Talks until there is a reason to end.
    async fn talk(
        &mut self,
        pool: &str,
        instance: &str,
        drained: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        // Subscribed before the snapshot is read: what changes in between is looked at again.
        let mut hints = self.services.events.subscribe();
        self.lease().await?;
        // Read before the view and sent after it: a gateway that goes by a sequence has all that is of it.
        let trust = self.trust().await?;
        let (mark, view) = self.view(pool, instance).await?;
        let (snapshot, rest) = view.snapshot();
        self.send(Response_::Snapshot(snapshot)).await?;
        self.deltas(rest).await?;
        self.send(Response_::Trust(trust.clone())).await?;
        let mut told = Told {
            mark,
            view,
            trust,
            hinted: false,
            looks: 0,
        };
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Err(End::Goodbye("the platform stops")),
                message = self.incoming.message() => {
                    let Ok(Some(message)) = message else { return Err(End::Closed) };
                    self.heard(pool, instance, message, drained).await?;
                }
                hint = hints.recv() => told.hinted |= is_about_assignments(&hint),
                _ = looks.tick() => self.look(pool, instance, &mut told).await?,
            }
        }
    }

    async fn heard(
        &self,
        pool: &str,
        instance: &str,
        message: SessionRequest,
        drained: &mut bool,
    ) -> Result<(), End> {
        match message.kind {
            Some(Request_::Heartbeat(beat)) => {
                let renewed = lease::renew(
                    &self.services,
                    &self.gateway,
                    instance,
                    beat.agents,
                    beat.trust_sequence,
                );
                if !renewed.await? {
                    return Err(End::Goodbye("the lease was lost"));
                }
                self.lease().await
            }
            Some(Request_::Claims(batch)) => {
                Ok(claims::take(&self.services, &self.gateway, instance, pool, &batch.claims).await?)
            }
            Some(Request_::Drain(_)) => {
                *drained = true;
                lease::drain(&self.services, &self.gateway, instance).await?;
                Ok(reconcile::pool_once(&self.services, pool).await?)
            }
            Some(Request_::Hello(_)) => Err(End::Goodbye("a second Hello")),
            // A kind that a newer gateway knows.
            None => Ok(()),
        }
    }

    async fn look(&self, pool: &str, instance: &str, told: &mut Told) -> Result<(), End> {
        told.looks += 1;
        if !told.hinted && told.looks < LOOKS_WITHOUT_A_HINT {
            return Ok(());
        }
        told.hinted = false;
        told.looks = 0;
        let mut read = self.services.store.read().await?;
        if self.caller.was_revoked(&mut read).await? {
            return Err(End::Goodbye("the gateway's certificate was revoked"));
        }
        let mark = Mark::read(&mut read, pool, &self.gateway, instance).await?;
        drop(read);
        if mark == told.mark {
            return Ok(());
        }
        let trust = self.trust().await?;
        let (mark, view) = self.view(pool, instance).await?;
        self.deltas(told.view.difference(&view)).await?;
        if trust != told.trust {
            self.send(Response_::Trust(trust.clone())).await?;
            told.trust = trust;
        }
        told.mark = mark;
        told.view = view;
        Ok(())
    }

    async fn view(&self, pool: &str, instance: &str) -> Result<(Mark, View), StoreError> {
        View::read(&self.services, pool, &self.gateway, instance).await
    }

    async fn trust(&self) -> Result<PlatformTrust, AuthorityError> {
        let mut snapshot = self.services.store.snapshot().await?;
        let trust = self
            .services
            .authority
            .platform_trust(&mut snapshot, &self.gateway)
            .await?;
        snapshot.rollback().await.map_err(StoreError::from)?;
        Ok(trust)
    }

    async fn deltas(&self, deltas: Vec<Assignment>) -> Result<(), End> {
        for delta in deltas {
            self.send(Response_::Delta(delta)).await?;
        }
        Ok(())
    }

    async fn lease(&self) -> Result<(), End> {
        let lease = Lease {
            duration_ms: LEASE_MS.unsigned_abs(),
            heartbeat_ms: HEARTBEAT_MS.unsigned_abs(),
        };
        self.send(Response_::Lease(lease)).await
    }

    async fn send(&self, kind: Response_) -> Result<(), End> {
        self.outgoing
            .send(Ok(SessionResponse { kind: Some(kind) }))
            .await
            .map_err(|_| End::Closed)
    }

    async fn fail(&self, status: Status) {
        let _gone = self.outgoing.send(Err(status)).await;
    }
}

fn is_about_assignments(hint: &Result<Event, broadcast::error::RecvError>) -> bool {
    match hint {
        Ok(event) => matches!(
            event.kind,
            EventKind::Agent | EventKind::Gateway | EventKind::Tenant
        ),
        Err(_) => true,
    }
}
