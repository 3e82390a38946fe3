//! The gRPC face of ingest.

use std::pin::Pin;

use picket_proto::platform::v1::ingest_server::Ingest;
use picket_proto::platform::v1::{SubmitOutcome, SubmitRequest, SubmitResponse};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::lane::{Lane, unavailable};
use super::{Answer, admit};
use crate::app::Services;
use crate::authority::peer;
use crate::metrics::ingest as report;

/// Batches of one stream that wait for their commit; then the gateway waits.
const IN_FLIGHT: usize = 128;

/// Takes batches from gateways.
#[derive(Debug, Clone)]
pub struct IngestService {
    services: Services,
    lane: Lane,
}

impl IngestService {
    /// A service that hands batches to a lane.
    #[must_use]
    pub const fn new(services: Services, lane: Lane) -> Self {
        Self { services, lane }
    }
}

/// An answer, or where it will come from.
enum Pending {
    Known(Answer),
    Committing(oneshot::Receiver<Answer>),
}

#[tonic::async_trait]
impl Ingest for IngestService {
    type SubmitStream = Pin<Box<dyn Stream<Item = Result<SubmitResponse, Status>> + Send>>;

    async fn submit(
        &self,
        request: Request<Streaming<SubmitRequest>>,
    ) -> Result<Response<Self::SubmitStream>, Status> {
        let gateway = peer::registered_gateway(&self.services, request.extensions()).await?;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        tokio::spawn(read(
            self.services.clone(),
            self.lane.clone(),
            gateway.name,
            request.into_inner(),
            sender,
        ));
        let answers =
            ReceiverStream::new(receiver).then(|pending: Result<(u64, Pending), Status>| async move {
                let (id, pending) = pending?;
                let answer = match pending {
                    Pending::Known(answer) => answer,
                    Pending::Committing(answer) => answer.await.unwrap_or_else(|_| unavailable()),
                };
                report::answered(outcome_word(answer.outcome));
                Ok(SubmitResponse {
                    id,
                    outcome: answer.outcome.into(),
                    stream: answer.stream,
                    committed_seq: answer.committed_seq,
                    detail: answer.detail,
                })
            });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Reads a gateway's batches in order, so that those of one agent are committed in order.
async fn read(
    services: Services,
    lane: Lane,
    gateway: String,
    mut requests: Streaming<SubmitRequest>,
    answers: mpsc::Sender<Result<(u64, Pending), Status>>,
) {
    loop {
        let request = match requests.message().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(status) => {
                // The gateway knows that its stream broke; if it still listens, it is told why.
                let _gone = answers.send(Err(status)).await;
                return;
            }
        };
        let id = request.id;
        let pending = match admit(&services, &gateway, request).await {
            Ok(Ok(submission)) => Pending::Committing(lane.submit(submission).await),
            Ok(Err(answer)) => Pending::Known(answer),
            Err(error) => {
                report::flush_failed(&error);
                Pending::Known(unavailable())
            }
        };
        if answers.send(Ok((id, pending))).await.is_err() {
            return;
        }
    }
}

const fn outcome_word(outcome: SubmitOutcome) -> &'static str {
    match outcome {
        SubmitOutcome::Committed => "committed",
        SubmitOutcome::Duplicate => "duplicate",
        SubmitOutcome::Gap => "gap",
        SubmitOutcome::Stale => "stale",
        SubmitOutcome::Refused => "refused",
        SubmitOutcome::Unavailable => "unavailable",
        SubmitOutcome::Unspecified => "unspecified",
    }
}
