//! The session with the platform: Hello, Lease, Snapshot, then Deltas one way and Heartbeats and claims the other.
//!
//! A session is one life of the gateway, with an instance name of its own. Nothing outlives it: when it ends, for
//! whatever reason, all work stops, and the gateway joins again as somebody new.

use std::time::Duration;

use picket_proto::platform::v1::coordination_client::CoordinationClient;
use picket_proto::platform::v1::session_request::Kind as Request;
use picket_proto::platform::v1::session_response::Kind as Response;
use picket_proto::platform::v1::{
    Assignment as AssignmentMessage, Drain, Heartbeat, Hello, Lease as LeaseMessage, PlatformTrust,
    ReachabilityClaims, SessionRequest, SessionResponse,
};
use rand::Rng as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::clock::BootTime;
use crate::lease::{Fence, Lease};
use crate::platform::Unavailable;

/// From Hello to Snapshot. A platform that needs longer is as good as away.
const JOIN_DEADLINE: Duration = Duration::from_secs(15);

/// A snapshot of 100,000 agents is about 30 MiB.
const MAX_SNAPSHOT: usize = 64 * 1024 * 1024;

/// Messages to the platform that wait for the connection; more than one heartbeat waiting means that the lease is lost.
const OUTBOUND: usize = 16;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The platform can't be reached, or the stream broke.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No lease came in time: the gateway fenced itself.
    #[error("the platform hasn't renewed the lease in time; all work stopped before the lease ran out")]
    Fenced,
    /// The platform said goodbye.
    #[error("the platform said goodbye: {0}")]
    Goodbye(String),
    /// The platform said something that doesn't belong here.
    #[error("the platform broke the protocol: {0}")]
    Protocol(&'static str),
}

impl SessionError {
    /// A word for logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Fenced => "fenced",
            Self::Goodbye(_) => "goodbye",
            Self::Protocol(_) => "protocol",
        }
    }
}

/// What the platform says after the snapshot.
#[derive(Debug)]
pub enum Event {
    /// A changed assignment.
    Delta(AssignmentMessage),
    /// What to trust the platform by.
    Trust(PlatformTrust),
    /// The lease was renewed.
    Renewed,
}

/// A session that has been joined.
#[derive(Debug)]
pub struct Session {
    inbound: Streaming<SessionResponse>,
    outbound: mpsc::Sender<SessionRequest>,
    lease: Lease,
    fence: Fence,
    heartbeat: Duration,
    next_heartbeat: BootTime,
    /// Came before the snapshot.
    early: Option<PlatformTrust>,
}

impl Session {
    /// Joins; returns the session and the first snapshot. From here on, `fence` says whether the gateway may act.
    ///
    /// # Errors
    /// The platform can't be reached, is too slow, or doesn't want this gateway.
    pub async fn join(
        channel: Channel,
        hello: Hello,
        fence: Fence,
    ) -> Result<(Self, AssignmentMessage), SessionError> {
        tokio::time::timeout(JOIN_DEADLINE, Self::join_at_leisure(channel, hello, fence))
            .await
            .unwrap_or_else(|_| {
                let problem = format!("no snapshot came within {} s", JOIN_DEADLINE.as_secs());
                Err(SessionError::Unavailable(Unavailable::away(problem)))
            })
    }

    async fn join_at_leisure(
        channel: Channel,
        hello: Hello,
        fence: Fence,
    ) -> Result<(Self, AssignmentMessage), SessionError> {
        let (outbound, requests) = mpsc::channel(OUTBOUND);
        let mut client = CoordinationClient::new(channel).max_decoding_message_size(MAX_SNAPSHOT);
        let mut lease = Lease::default();
        let now = BootTime::now();
        lease.sent(now);
        send(&outbound, Request::Hello(hello))?;
        let inbound = client.session(ReceiverStream::new(requests)).await;
        let inbound = inbound
            .map_err(|status| Unavailable::from_status(&status))?
            .into_inner();
        let mut session = Self {
            inbound,
            outbound,
            lease,
            fence,
            heartbeat: Duration::from_secs(3),
            next_heartbeat: now,
            early: None,
        };
        loop {
            match session.receive().await? {
                Response::Lease(lease) => session.renew(&lease)?,
                Response::Snapshot(snapshot) if session.lease.holds(BootTime::now()) => {
                    return Ok((session, snapshot));
                }
                Response::Snapshot(_) => return Err(SessionError::Protocol("a snapshot without a lease")),
                Response::Delta(_) => return Err(SessionError::Protocol("a delta before the snapshot")),
                Response::Goodbye(goodbye) => return Err(SessionError::Goodbye(goodbye.reason)),
                Response::Trust(trust) => session.early = Some(trust),
            }
        }
    }

    /// Waits for the next event. Cancelling it loses nothing.
    ///
    /// # Errors
    /// The session is over, and the fence is down.
    pub async fn next(&mut self) -> Result<Event, SessionError> {
        let outcome = self.next_or_fenced().await;
        if outcome.is_err() {
            self.fence.drop_now();
        }
        outcome
    }

    async fn next_or_fenced(&mut self) -> Result<Event, SessionError> {
        if let Some(trust) = self.early.take() {
            return Ok(Event::Trust(trust));
        }
        let fence = self.fence.clone();
        tokio::select! {
            // The fence first: a lease that waits in the socket since before a long sleep renews nothing.
            biased;
            () = fenced(&fence) => Err(SessionError::Fenced),
            message = self.receive() => match message? {
                Response::Trust(trust) => Ok(Event::Trust(trust)),
                Response::Lease(lease) => self.renew(&lease).map(|()| Event::Renewed),
                Response::Delta(delta) => Ok(Event::Delta(delta)),
                Response::Snapshot(_) => Err(SessionError::Protocol("a second snapshot")),
                Response::Goodbye(goodbye) => Err(SessionError::Goodbye(goodbye.reason)),
            },
        }
    }

    async fn receive(&mut self) -> Result<Response, SessionError> {
        loop {
            match self.inbound.message().await {
                Ok(Some(SessionResponse { kind: Some(kind) })) => return Ok(kind),
                // A kind of message that is newer than this gateway.
                Ok(Some(SessionResponse { kind: None })) => {}
                Ok(None) => return Err(Unavailable::away("the platform closed the session").into()),
                Err(status) => return Err(Unavailable::from_status(&status).into()),
            }
        }
    }

    fn renew(&mut self, lease: &LeaseMessage) -> Result<(), SessionError> {
        let until = self.lease.granted(Duration::from_millis(lease.duration_ms));
        // A lease that answers nothing gives nothing, and takes nothing.
        let Some(until) = until else { return Ok(()) };
        if lease.heartbeat_ms == 0 {
            return Err(SessionError::Protocol("a heartbeat interval of zero"));
        }
        self.heartbeat = Duration::from_millis(lease.heartbeat_ms);
        self.fence.raise(until);
        self.schedule_heartbeat();
        Ok(())
    }

    /// Spread by a tenth each way: gateways that joined together don't beat together for ever.
    fn schedule_heartbeat(&mut self) {
        let spread = rand::rng().random_range(0.9..=1.1);
        self.next_heartbeat = BootTime::now() + self.heartbeat.mul_f64(spread);
    }

    /// When the next heartbeat is due.
    pub fn heartbeat_at(&self) -> BootTime {
        self.next_heartbeat
    }

    /// Sends a heartbeat.
    ///
    /// # Errors
    /// The session is over.
    pub fn beat(&mut self, heartbeat: Heartbeat) -> Result<(), SessionError> {
        self.lease.sent(BootTime::now());
        self.schedule_heartbeat();
        send(&self.outbound, Request::Heartbeat(heartbeat))
    }

    /// Whether there is room for claims, with some left for heartbeats.
    pub fn has_room(&self) -> bool {
        self.outbound.capacity() > OUTBOUND / 2
    }

    /// Sends claims.
    ///
    /// # Errors
    /// The session is over.
    pub fn claim(&mut self, claims: ReachabilityClaims) -> Result<(), SessionError> {
        // Whoever may not act may not say how things are either.
        if !self.fence.may_act(BootTime::now()) {
            return Err(SessionError::Fenced);
        }
        send(&self.outbound, Request::Claims(claims))
    }

    /// Says that this gateway is about to stop, so that its shards may move at once.
    ///
    /// # Errors
    /// The session is over.
    pub fn drain(&mut self) -> Result<(), SessionError> {
        send(&self.outbound, Request::Drain(Drain {}))
    }

    /// Leaves, once everything that was sent is on its way, or `deadline` has passed.
    pub async fn leave(self, deadline: Duration) {
        let Self {
            mut inbound,
            outbound,
            ..
        } = self;
        drop(outbound);
        // The platform ends its side when it has read the end of ours.
        let ended = async { while let Ok(Some(_)) = inbound.message().await {} };
        let _ = tokio::time::timeout(deadline, ended).await;
    }
}

/// Waits until the fence is down. Timers don't count suspend, so the clock that does is asked again and again.
pub(crate) async fn fenced(fence: &Fence) {
    const LOOK_AGAIN: Duration = Duration::from_millis(500);
    loop {
        let remaining = fence.remaining(BootTime::now());
        if remaining.is_zero() {
            return;
        }
        tokio::time::sleep(remaining.min(LOOK_AGAIN)).await;
    }
}

fn send(outbound: &mpsc::Sender<SessionRequest>, kind: Request) -> Result<(), SessionError> {
    let request = SessionRequest { kind: Some(kind) };
    outbound
        .try_send(request)
        .map_err(|_| Unavailable::away("the connection takes no more messages").into())
}
