//! How an agent gets its first certificate: it listens, with nothing but the enrolment call, until a gateway has brought it.
//!
//! - [`pending`]: the new key, kept until its certificate is there.

pub mod pending;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use picket_identity::bundle;
use picket_identity::credential::{CredentialError, PrivateKey};
use picket_identity::enrollment::Enrollment;
use picket_identity::serve::{self, HandshakeFailure, Observer, PeerIdentity, Routes, TurnedAway};
use picket_identity::tls::{self, TlsError};
use picket_identity::verify::{self, Refusal, Verified};
use picket_identity::{CertificateDer, Serial};
use picket_proto::agent::v1::enroll_request::Kind as Said;
use picket_proto::agent::v1::enroll_response::Kind as Answer;
use picket_proto::agent::v1::enrollment_server::{Enrollment as EnrollmentCalls, EnrollmentServer};
use picket_proto::agent::v1::{EnrollProof, EnrollRequest, EnrollResponse, Installed, IssuedCertificate};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::app::MAX_TRUST;
use crate::exchange::failure::{Cause, CorrelationId, Failure, Origin, Step};
use crate::exchange::issued::{self, Trusted};
use crate::exchange::{Answered, Applicant, Asked, Begin, Proof, conversation};
use crate::internal_events as events;
use crate::server::authorise;
use crate::server::observe::ListenerEvents;

use pending::PendingKey;

/// How long the gateway may take to hear that all is done.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why no agent can wait for its enrolment.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The new key can't be made or kept.
    #[error(transparent)]
    Key(#[from] CredentialError),
    /// TLS refuses.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Something that people who wait want to see.
#[derive(Debug)]
pub enum Event<'a> {
    /// Somebody connected and was refused.
    Refused {
        /// From where.
        peer: SocketAddr,
        /// Why.
        refusal: &'a Refusal,
    },
    /// A step failed.
    Failed {
        /// Which gateway's attempt.
        gateway: String,
        /// What both sides call it.
        id: &'a CorrelationId,
        /// What happened.
        failure: &'a Failure,
        /// Who says so.
        origin: Origin,
    },
}

/// Hears what happens while an agent waits.
pub type Hear = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// An agent that waits for its certificate.
pub struct Awaiting(Arc<Inner>);

struct Inner {
    enrollment: Enrollment,
    folder: PathBuf,
    key: PendingKey,
    csr: Vec<u8>,
    /// What was installed: once, whoever brought it.
    installed: Mutex<Option<(CertificateDer<'static>, Serial)>>,
    done: CancellationToken,
    hear: Hear,
}

impl Awaiting {
    /// Makes the key, or takes the one of an earlier try. Nothing listens yet.
    ///
    /// # Errors
    /// The key can't be made or kept.
    pub fn new(enrollment: Enrollment, folder: &Path, hear: Hear) -> Result<Self, EnrollError> {
        let key = PendingKey::open(folder)?;
        let csr = key.key().csr(&enrollment.id().common_name())?;
        Ok(Self(Arc::new(Inner {
            enrollment,
            folder: folder.to_owned(),
            key,
            csr,
            installed: Mutex::default(),
            done: CancellationToken::new(),
            hear,
        })))
    }

    /// Serves nothing but the enrolment until the certificate is installed: then gives its serial number. `None` where
    /// `stop` came first.
    ///
    /// # Errors
    /// TLS refuses.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<Option<Serial>, EnrollError> {
        let Self(inner) = self;
        let (_publish, tls) = watch::channel(Arc::new(tls::agent_awaiting_enrollment(
            &inner.enrollment,
            verify::now(),
        )?));
        let routes = Routes::new()
            .add(EnrollmentServer::new(Service(Arc::clone(&inner))).max_decoding_message_size(MAX_TRUST));
        let limits = serve::Limits {
            drain: LAST_WORDS,
            ..serve::Limits::default()
        };
        let observer = Arc::new(Watching(Arc::clone(&inner.hear)));
        let shutdown = CancellationToken::new();
        let ends = shutdown.clone();
        let ended = async {
            tokio::select! {
                () = inner.done.cancelled() => {}
                () = stop.cancelled() => {}
            }
            ends.cancel();
        };
        tokio::join!(
            serve::serve(listener, tls, routes, limits, observer, shutdown),
            ended
        );
        let installed = inner.installed();
        Ok(installed.as_ref().map(|(_, serial)| serial.clone()))
    }
}

impl fmt::Debug for Awaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Awaiting").field(self.0.enrollment.id()).finish()
    }
}

impl Inner {
    fn installed(&self) -> std::sync::MutexGuard<'_, Option<(CertificateDer<'static>, Serial)>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Applicant for Inner {
    type Request = EnrollRequest;
    type Response = EnrollResponse;
    const EXCHANGE: &'static str = "enrolment";

    fn read(request: EnrollRequest) -> Option<Asked> {
        Some(match request.kind? {
            Said::Begin(begin) => Asked::Begin(Begin {
                correlation_id: begin.correlation_id,
                spiffe_id: Some(begin.spiffe_id),
            }),
            Said::Issued(issued) => Asked::Issued(issued),
            Said::Failed(told) => Asked::Failed(told),
        })
    }

    fn write(answer: Answered) -> EnrollResponse {
        let kind = match answer {
            Answered::Proof(Proof { csr, signature }) => Answer::Proof(EnrollProof {
                csr: csr.into(),
                signature: signature.into(),
            }),
            Answered::Installed(serial) => Answer::Installed(Installed {
                serial: serial.to_string(),
            }),
            Answered::Failed(failed) => Answer::Failed(failed),
        };
        EnrollResponse { kind: Some(kind) }
    }

    fn prove(&self, peer: &PeerIdentity, begin: &Begin) -> Result<(PrivateKey, Proof), Failure> {
        let own = self.enrollment.id();
        let meant = begin.spiffe_id.as_deref().unwrap_or_default();
        if meant != own.to_string() {
            let shown: String = meant.chars().take(200).flat_map(char::escape_debug).collect();
            let detail = format!("the gateway looks for `{shown}`: here is {own}");
            return Err(Failure::new(Step::Proof, Cause::WrongAgent, detail));
        }
        // Whoever brings the certificate, and however often: the same key, so the platform gives the same certificate.
        let signature = self
            .enrollment
            .activation_key()
            .sign(peer.channel_binding(), &self.csr, own);
        let csr = self.csr.clone();
        Ok((self.key.key().clone(), Proof { csr, signature }))
    }

    fn install(&self, key: &PrivateKey, came: &IssuedCertificate) -> Result<Serial, Failure> {
        // Held to the end: of two gateways that bring it at the same time, one installs it.
        let mut installed = self.installed();
        if let Some((leaf, serial)) = installed.as_ref() {
            if leaf.as_ref() == &came.leaf[..] {
                return Ok(serial.clone());
            }
            let detail = "another certificate was installed just before";
            return Err(Failure::new(Step::Install, Cause::NotAwaiting, detail));
        }
        let now = verify::now();
        let file = Trusted {
            trust: self.enrollment.trust().clone(),
            sequence: self.enrollment.trust_sequence(),
            denied: Vec::new(),
        };
        let bundle = issued::first(came, self.enrollment.id(), &file, now)?;
        let identity = bundle::install_with_key(&self.folder, &bundle, key, now)
            .map_err(|error| Failure::of_install(&error))?;
        if let Err((path, error)) = self.key.remove() {
            events::pending_key_left(&path, &error);
        }
        let serial = identity.verified().serial().clone();
        *installed = Some((identity.verified().leaf().clone(), serial.clone()));
        self.done.cancel();
        Ok(serial)
    }

    fn failed(&self, peer: &PeerIdentity, id: &CorrelationId, failure: &Failure, origin: Origin) {
        (self.hear)(&Event::Failed {
            gateway: peer.id().to_string(),
            id,
            failure,
            origin,
        });
    }
}

struct Service(Arc<Inner>);

#[tonic::async_trait]
impl EnrollmentCalls for Service {
    type EnrollStream = Pin<Box<dyn Stream<Item = Result<EnrollResponse, Status>> + Send>>;

    async fn enroll(
        &self,
        request: Request<Streaming<EnrollRequest>>,
    ) -> Result<Response<Self::EnrollStream>, Status> {
        let peer = authorise::admit(request.extensions(), self.0.enrollment.id())?;
        let answers = conversation::answer(Arc::clone(&self.0), peer, request.into_inner());
        Ok(Response::new(Box::pin(answers)))
    }
}

/// What an agent's listener always logs, and a word for those who wait.
struct Watching(Hear);

impl Observer for Watching {
    fn handshake_failed(&self, peer: SocketAddr, failure: &HandshakeFailure) {
        ListenerEvents.handshake_failed(peer, failure);
        if let HandshakeFailure::Refused(refusal) = failure {
            (self.0)(&Event::Refused { peer, refusal });
        }
    }

    fn turned_away(&self, peer: SocketAddr, cause: TurnedAway) {
        ListenerEvents.turned_away(peer, cause);
    }

    fn connected(&self, peer: SocketAddr, verified: &Verified) {
        ListenerEvents.connected(peer, verified);
    }
}
