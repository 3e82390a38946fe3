//! One stream that carries the batches of all agents to the platform.
//!
//! Answers are matched to batches by id. When the stream breaks, every batch without an answer counts as not committed:
//! the agents still have them. The stream is on a connection of its own, so that a flood of results can never hold up
//! the heartbeats of the session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use picket_proto::platform::v1::ingest_client::IngestClient;
use picket_proto::platform::v1::{SubmitRequest, SubmitResponse};
use rand::SeedableRng as _;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::platform::{Link, Unavailable};
use crate::telemetry;

/// A batch waits for its answer this long; then the agent keeps it and is asked again later.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

const RECONNECT: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

/// Hands batches to the platform. Cheap to clone; its task ends with the last clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    requests: mpsc::Sender<Pending>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Pending {
    request: SubmitRequest,
    answer: oneshot::Sender<SubmitResponse>,
}

impl Ingest {
    /// Starts the stream; at most `in_flight` batches wait for their answers.
    pub fn start(link: Link, in_flight: usize) -> Self {
        let (requests, queue) = mpsc::channel(in_flight);
        tokio::spawn(keep_up(link, queue, in_flight));
        Self {
            requests,
            permits: Arc::new(Semaphore::new(in_flight)),
        }
    }

    /// Hands one batch over and waits for what becomes of it. The request's id is set here.
    ///
    /// # Errors
    /// There was no answer: the batch may or may not have been committed, and is to be sent again.
    pub async fn submit(&self, request: SubmitRequest) -> Result<SubmitResponse, Unavailable> {
        let answered = tokio::time::timeout(ANSWER_DEADLINE, async {
            let _permit = self.permits.acquire().await.ok()?;
            let (answer, answered) = oneshot::channel();
            self.requests.send(Pending { request, answer }).await.ok()?;
            answered.await.ok()
        });
        match answered.await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(Unavailable::away("the stream to the platform is down")),
            Err(_) => Err(Unavailable::away(format!(
                "the platform gave no answer within {} s",
                ANSWER_DEADLINE.as_secs()
            ))),
        }
    }
}

async fn keep_up(link: Link, mut queue: mpsc::Receiver<Pending>, in_flight: usize) {
    let mut rng = rand::rngs::StdRng::from_os_rng();
    let mut failures = 0_u32;
    loop {
        let mut stream = Stream::new(in_flight);
        let Err(error) = stream.carry(&link, &mut queue).await else {
            return;
        };
        failures = if stream.answered_any {
            1
        } else {
            failures.saturating_add(1)
        };
        drop(stream);
        let retry_in = RECONNECT.delay(failures, &mut rng);
        telemetry::ingest_lost(&error, retry_in);
        let again = tokio::time::sleep(retry_in);
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => break,
                // Dropped, which answers it: better to know at once than to hold a poll's place.
                pending = queue.recv() => if pending.is_none() { return },
            }
        }
    }
}

/// One life of the stream.
struct Stream {
    in_flight: usize,
    next_id: u64,
    waiting: HashMap<u64, oneshot::Sender<SubmitResponse>>,
    answered_any: bool,
}

impl Stream {
    fn new(in_flight: usize) -> Self {
        Self {
            in_flight,
            next_id: 1,
            waiting: HashMap::new(),
            answered_any: false,
        }
    }

    /// Returns without an error once nobody can submit any more.
    async fn carry(&mut self, link: &Link, queue: &mut mpsc::Receiver<Pending>) -> Result<(), Unavailable> {
        let mut client = IngestClient::new(link.dial().await?);
        let (outbound, requests) = mpsc::channel(self.in_flight);
        // The platform may answer the call only once it has a first batch: the call and the batches go side by side.
        let call = client.submit(ReceiverStream::new(requests));
        tokio::pin!(call);
        let mut inbound: Option<Streaming<SubmitResponse>> = None;
        loop {
            tokio::select! {
                opened = &mut call, if inbound.is_none() => {
                    inbound = Some(opened.map_err(|status| Unavailable::from_status(&status))?.into_inner());
                }
                answer = next_answer(&mut inbound), if inbound.is_some() => self.answer(answer?),
                next = next_request(&outbound, queue) => {
                    let (room, pending) = next?;
                    let Some(pending) = pending else { return Ok(()) };
                    room.send(self.accept(pending));
                }
            }
        }
    }

    fn accept(&mut self, pending: Pending) -> SubmitRequest {
        // Those who gave up waiting have left their places; answers may still come, and are then dropped.
        if self.waiting.len() >= 2 * self.in_flight {
            self.waiting.retain(|_, answer| !answer.is_closed());
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id, pending.answer);
        SubmitRequest {
            id,
            ..pending.request
        }
    }

    fn answer(&mut self, response: SubmitResponse) {
        self.answered_any = true;
        if let Some(waiting) = self.waiting.remove(&response.id) {
            // Whoever waited may have given up: the agent will be asked again.
            let _ = waiting.send(response);
        }
    }
}

/// Takes a batch only once there is room for it, so that answers are read even while the platform takes nothing.
async fn next_request<'o>(
    outbound: &'o mpsc::Sender<SubmitRequest>,
    queue: &mut mpsc::Receiver<Pending>,
) -> Result<(mpsc::Permit<'o, SubmitRequest>, Option<Pending>), Unavailable> {
    let room = outbound.reserve().await;
    let room = room.map_err(|_| Unavailable::away("the platform closed the stream"))?;
    Ok((room, queue.recv().await))
}

async fn next_answer(inbound: &mut Option<Streaming<SubmitResponse>>) -> Result<SubmitResponse, Unavailable> {
    let Some(inbound) = inbound else {
        return std::future::pending().await;
    };
    match inbound.message().await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(Unavailable::away("the platform closed the stream")),
        Err(status) => Err(Unavailable::from_status(&status)),
    }
}
