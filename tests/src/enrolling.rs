//! The agent's side of enrolment, written a second time from the contract alone: what is enrolled here are agents that
//! aren't ours.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::Stream;
use picket_identity::bundle::{Identity, IdentityBundle};
use picket_identity::channel_binding::ChannelBinding;
use picket_identity::credential::PrivateKey;
use picket_identity::enrollment::{EnrollFile, Enrollment};
use picket_identity::serve::{Limits, LogObserver, PeerIdentity, Routes, serve};
use picket_identity::{CertificateDer, tls, verify};
use picket_proto::agent::v1::enroll_request::Kind as Asked;
use picket_proto::agent::v1::enroll_response::Kind as Answered;
use picket_proto::agent::v1::enrollment_server::{self, EnrollmentServer};
use picket_proto::agent::v1::{EnrollProof, EnrollRequest, EnrollResponse, Installed, IssuedCertificate};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::wait;

/// Waits on a port until a gateway has enrolled who the file is for. The port is free again afterwards.
pub async fn enroll(listener: TcpListener, file: &Path) -> anyhow::Result<Identity> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let enrollment = EnrollFile::from_json(&text)?.verify(verify::now())?;
    let tls = tls::agent_awaiting_enrollment(&enrollment, verify::now())?;
    let (_publish, snapshots) = watch::channel(Arc::new(tls));
    let shutdown = CancellationToken::new();
    let (installed, mut identities) = mpsc::channel(1);
    let service = Awaiting(Arc::new(Inner {
        enrollment,
        key: PrivateKey::generate()?,
        installed,
    }));
    let serving = tokio::spawn(serve(
        listener,
        snapshots,
        Routes::new().add(EnrollmentServer::new(service)),
        Limits::default(),
        Arc::new(LogObserver),
        shutdown.clone(),
    ));
    let identity = tokio::time::timeout(wait::DEADLINE, identities.recv())
        .await
        .with_context(|| format!("nobody enrolled the agent of {}", file.display()))?
        .context("the listener has ended")?;
    shutdown.cancel();
    serving.await?;
    Ok(identity)
}

#[derive(Clone)]
struct Awaiting(Arc<Inner>);

struct Inner {
    enrollment: Enrollment,
    key: PrivateKey,
    installed: mpsc::Sender<Identity>,
}

impl Inner {
    fn proof(&self, binding: &ChannelBinding) -> anyhow::Result<EnrollProof> {
        let id = self.enrollment.id();
        let csr = self.key.csr(&id.common_name())?;
        let signature = self.enrollment.activation_key().sign(binding, &csr, id);
        Ok(EnrollProof {
            csr: csr.into(),
            signature: signature.into(),
        })
    }

    fn install(&self, issued: &IssuedCertificate) -> anyhow::Result<Identity> {
        let der = |bytes: &bytes::Bytes| CertificateDer::from(bytes.to_vec());
        let trust = self.enrollment.trust();
        let gateway_cas: Vec<_> = trust.cas().iter().map(|ca| ca.der().clone()).collect();
        let bundle = IdentityBundle::for_agent(
            self.enrollment.id().clone(),
            &der(&issued.leaf),
            &der(&issued.issuer),
            &trust.roots(),
            &gateway_cas,
        );
        Ok(bundle.verify(self.key.clone(), verify::now())?)
    }
}

fn internal(error: &anyhow::Error) -> Status {
    Status::internal(format!("{error:#}"))
}

#[tonic::async_trait]
impl enrollment_server::Enrollment for Awaiting {
    type EnrollStream = Pin<Box<dyn Stream<Item = Result<EnrollResponse, Status>> + Send>>;

    async fn enroll(
        &self,
        request: Request<Streaming<EnrollRequest>>,
    ) -> Result<Response<Self::EnrollStream>, Status> {
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let peer = peer.ok_or_else(|| Status::unauthenticated("nobody"))?;
        let proof = self
            .0
            .proof(peer.channel_binding())
            .map_err(|error| internal(&error))?;
        let mut requests = request.into_inner();
        let (answers, responses) = mpsc::channel(2);
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let say = |kind| answers.send(Ok(EnrollResponse { kind: Some(kind) }));
            while let Some(Ok(request)) = requests.next().await {
                match request.kind {
                    Some(Asked::Begin(_)) => {
                        let _ = say(Answered::Proof(proof.clone())).await;
                    }
                    Some(Asked::Issued(issued)) => {
                        let identity = match inner.install(&issued) {
                            Ok(identity) => identity,
                            Err(error) => {
                                let _ = answers.send(Err(internal(&error))).await;
                                return;
                            }
                        };
                        let serial = identity.verified().serial().to_string();
                        let _ = say(Answered::Installed(Installed { serial })).await;
                        let _ = inner.installed.send(identity).await;
                        return;
                    }
                    _ => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}
