use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

/// Runs that wait until they are let go.
#[derive(Default)]
struct Gate {
    started: AtomicUsize,
    ended: AtomicUsize,
    panics: bool,
    go: Notify,
    crashes: Mutex<Vec<String>>,
}

impl Run for Gate {
    async fn run(&self, _due: Due, _scheduled_at_unix_ms: u64) -> Option<Finished> {
        self.started.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "as the test wants it");
        self.go.notified().await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        None
    }

    fn crashed(&self, check: &CheckName, _reason: &str) {
        self.crashes.lock().unwrap().push(check.to_string());
    }
}

fn plans(count: usize) -> Vec<(CheckName, Plan)> {
    (0..count)
        .map(|n| {
            let name = format!("c{n}");
            (
                name.parse().unwrap(),
                Plan::new("a", &name, Duration::from_millis(20), Duration::ZERO),
            )
        })
        .collect()
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn checks_run_beside_each_other_and_never_beside_themselves() {
    let gate = Arc::new(Gate::default());
    let shutdown = CancellationToken::new();
    let (scheduler, task) = Scheduler::start(Arc::clone(&gate), Duration::ZERO, shutdown.clone());
    scheduler.replace(plans(3));
    until(|| gate.started.load(Ordering::SeqCst) == 3).await;
    assert!(matches!(
        scheduler.run_now("c0".parse().unwrap()).await,
        Err(Refused::Running)
    ));
    assert!(matches!(
        scheduler.run_now("other".parse().unwrap()).await,
        Err(Refused::Unknown)
    ));
    assert_eq!(gate.started.load(Ordering::SeqCst), 3);
    gate.go.notify_one();
    until(|| gate.started.load(Ordering::SeqCst) == 4).await;
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn runs_under_way_may_finish_after_a_shutdown() {
    let gate = Arc::new(Gate::default());
    let shutdown = CancellationToken::new();
    let (scheduler, task) = Scheduler::start(Arc::clone(&gate), Duration::from_secs(10), shutdown.clone());
    scheduler.replace(plans(1));
    until(|| gate.started.load(Ordering::SeqCst) == 1).await;
    shutdown.cancel();
    gate.go.notify_one();
    task.await.unwrap();
    assert_eq!(gate.ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_asks_for_a_run_during_a_shutdown_is_refused_at_once() {
    let gate = Arc::new(Gate::default());
    let shutdown = CancellationToken::new();
    let (scheduler, task) = Scheduler::start(Arc::clone(&gate), Duration::from_secs(600), shutdown.clone());
    scheduler.replace(plans(1));
    until(|| gate.started.load(Ordering::SeqCst) == 1).await;
    shutdown.cancel();
    // The run under way is waited for; whoever asks isn't.
    let asked = async {
        while !matches!(
            scheduler.run_now("c0".parse().unwrap()).await,
            Err(Refused::Stopping)
        ) {
            tokio::task::yield_now().await;
        }
        scheduler.outlook().await
    };
    let outlook = tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap();
    assert_eq!(outlook, []);
    assert!(!task.is_finished());
    gate.go.notify_one();
    task.await.unwrap();
}

#[tokio::test]
async fn a_run_that_panics_is_told_and_stops_nothing() {
    let gate = Arc::new(Gate {
        panics: true,
        ..Gate::default()
    });
    let shutdown = CancellationToken::new();
    let (scheduler, task) = Scheduler::start(Arc::clone(&gate), Duration::ZERO, shutdown.clone());
    scheduler.replace(plans(1));
    until(|| gate.started.load(Ordering::SeqCst) >= 2).await;
    assert!(gate.crashes.lock().unwrap().iter().all(|check| check == "c0"));
    shutdown.cancel();
    task.await.unwrap();
}
