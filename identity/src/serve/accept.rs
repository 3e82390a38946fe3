//! The accept loop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::tls::ServerTls;

use super::connection::{Connection, Live};
use super::half_open::HalfOpen;
use super::{GrpcService, Limits, Observer, TurnedAway};

/// The first pause after the system gave no connection, for example because all file descriptors are in use.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run<S: GrpcService>(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerTls>>,
    service: S,
    limits: Limits,
    observer: Arc<dyn Observer>,
    shutdown: CancellationToken,
) {
    let half_open = HalfOpen::new(limits.half_open, limits.half_open_per_address);
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let live = Arc::new(Live {
        service,
        limits,
        observer: Arc::clone(&observer),
        shutdown: shutdown.clone(),
    });
    let mut tasks = JoinSet::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_ended) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The peer gave up while it waited: nothing is wrong with us.
                if is_the_peers(&error) {
                    continue;
                }
                observer.accept_failed(&error);
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = FIRST_PAUSE;
        let ticket = match half_open.enter(peer.ip()) {
            Ok(ticket) => ticket,
            Err(cause) => {
                observer.turned_away(peer, cause);
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            observer.turned_away(peer, TurnedAway::Connections);
            continue;
        };
        let connection = Connection {
            stream,
            peer,
            tls: tls.clone(),
            ticket,
            _place: place,
        };
        let live = Arc::clone(&live);
        tasks.spawn(async move { live.run(connection).await });
    }
    drop(listener);
    // Each connection ends by itself within `Limits::drain`; handshakes end within theirs or at once.
    while tasks.join_next().await.is_some() {}
}

fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
