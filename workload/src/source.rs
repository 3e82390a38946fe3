//! Asks the Workload API, keeps the last good SVID, and asks again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify;
use spiffe::transport::Endpoint;
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Problem, Socket, Svid, report};

/// The first pause after a failure: a SPIRE agent that restarts is soon back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest one: an operator who has just registered this process waits no longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the Workload API has for a connection, and for its first answer. A SPIRE agent may have to ask its server.
const ANSWER: Duration = Duration::from_secs(10);

/// An SVID that is always the last good one. Cheap to clone; it asks until the last clone is gone.
#[derive(Clone, Debug)]
pub struct Source {
    svids: watch::Receiver<Option<Arc<Svid>>>,
    problem: watch::Receiver<Option<Arc<Problem>>>,
    _asking: Arc<DropGuard>,
}

impl Source {
    /// Begins to ask at `socket` for the SVID of `expected`, in a task of the present runtime.
    #[must_use]
    pub fn start(socket: Socket, expected: SpiffeId) -> Self {
        let (publish, svids) = watch::channel(None);
        let (trouble, problem) = watch::channel(None);
        let stop = CancellationToken::new();
        let asking = Asking {
            socket,
            expected,
            publish,
            trouble,
            pause: FIRST_PAUSE,
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(asking.run()));
        Self {
            svids,
            problem,
            _asking: Arc::new(stop.drop_guard()),
        }
    }

    /// The last good one; `None` before the first.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Svid>> {
        self.svids.borrow().clone()
    }

    /// What is wrong since the last good one.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<Problem>> {
        self.problem.borrow().clone()
    }

    /// Each good one from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Svid>>> {
        self.svids.clone()
    }

    /// Waits until there is an SVID, however long that takes. Why there is none is logged meanwhile.
    pub async fn first(&self) -> Arc<Svid> {
        let mut svids = self.svids.clone();
        loop {
            if let Some(svid) = svids.borrow_and_update().clone() {
                return svid;
            }
            // The task lives as long as this value.
            let _changed = svids.changed().await;
        }
    }

    /// Waits until there is an SVID, or until there is something to say of why there is none.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn first_answer(&self) -> Result<Arc<Svid>, Arc<Problem>> {
        let (mut svids, mut problem) = (self.svids.clone(), self.problem.clone());
        loop {
            if let Some(svid) = self.current() {
                return Ok(svid);
            }
            if let Some(problem) = self.problem() {
                return Err(problem);
            }
            // The task lives as long as this value.
            tokio::select! {
                _changed = svids.changed() => {}
                _changed = problem.changed() => {}
            }
        }
    }
}

/// The task behind a source.
struct Asking {
    socket: Socket,
    expected: SpiffeId,
    publish: watch::Sender<Option<Arc<Svid>>>,
    trouble: watch::Sender<Option<Arc<Problem>>>,
    /// Before the next try.
    pause: Duration,
}

impl Asking {
    async fn run(mut self) {
        loop {
            if let Some(problem) = self.one_stream().await {
                self.fail(problem);
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns when the stream is of no use any more, with the reason where that wasn't said yet.
    async fn one_stream(&mut self) -> Option<Problem> {
        let opened = timeout(ANSWER, open(&self.socket)).await;
        let (_client, mut answers) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Some(self.problem_of(&error)),
            Err(_) => return Some(self.silent(ANSWER)),
        };
        let mut patience = ANSWER;
        let mut was_refused = false;
        loop {
            let answer = match timeout(patience, answers.next()).await {
                Ok(Some(Ok(answer))) => answer,
                Ok(Some(Err(error))) => return Some(self.problem_of(&error)),
                Ok(None) => {
                    return Some(Problem::Ended {
                        socket: self.socket.clone(),
                    });
                }
                Err(_) if was_refused => return None,
                Err(_) => return Some(self.silent(patience)),
            };
            match Svid::choose(&answer, &self.expected, verify::now()) {
                Ok(svid) => {
                    patience = until_end(&svid);
                    was_refused = false;
                    self.take(svid);
                }
                Err(source) => {
                    // Asked anew the answer may be better: it wasn't valid yet, or has been mended since.
                    patience = LONGEST_PAUSE;
                    was_refused = true;
                    self.fail(Problem::Refused {
                        socket: self.socket.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
    }

    fn take(&mut self, svid: Svid) {
        report::taken(&svid);
        self.pause = FIRST_PAUSE;
        self.publish.send_replace(Some(Arc::new(svid)));
        self.trouble.send_replace(None);
    }

    fn fail(&self, problem: Problem) {
        let before = self.trouble.borrow().as_ref().map(|known| known.to_string());
        let is_news = before.is_none_or(|known| known != problem.to_string());
        let until = self.publish.borrow().as_ref().map(|svid| end(svid));
        report::failed(&problem, is_news, until);
        self.trouble.send_replace(Some(Arc::new(problem)));
    }

    fn problem_of(&self, error: &WorkloadApiError) -> Problem {
        Problem::of(error, &self.socket, &self.expected)
    }

    fn silent(&self, after: Duration) -> Problem {
        Problem::Silent {
            socket: self.socket.clone(),
            after,
        }
    }
}

fn end(svid: &Svid) -> u64 {
    svid.credential().not_after().as_secs()
}

/// A stream that has brought nothing new until the last one's end is a dead one.
fn until_end(svid: &Svid) -> Duration {
    Duration::from_secs(end(svid).saturating_sub(verify::now().as_secs()).max(1))
}

/// The client has to live as long as its stream.
async fn open(
    socket: &Socket,
) -> Result<
    (
        WorkloadApiClient,
        impl Stream<Item = Result<X509Context, WorkloadApiError>> + Send + use<>,
    ),
    WorkloadApiError,
> {
    let client = WorkloadApiClient::connect(Endpoint::Unix(socket.path().to_owned())).await?;
    let answers = client.stream_x509_contexts().await?;
    Ok((client, answers))
}
