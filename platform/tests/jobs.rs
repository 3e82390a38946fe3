//! The job suite: unique, cron once for each slot, retries with a backoff that is kept, rescue, and no completion without
//! the lease. Two nodes are two sets of connections to one database file, as two processes have.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "support/site.rs"]
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use picket_platform::app::Services;
use picket_platform::jobs::worker::{Completion, LEASE_MS};
use picket_platform::jobs::{Handler, Job, JobError, NewJob, Outcome, Schedule, Worker, enqueue};
use site::Site;
use sqlx::Row as _;

const QUEUE: &str = "test";
const EACH_MINUTE: Schedule = Schedule {
    name: "each-minute",
    cron: "* * * * *",
    queue: QUEUE,
    kind: "count",
};

/// Counts its runs, and ends them as it is told.
#[derive(Default)]
struct Count {
    runs: AtomicUsize,
    fails: bool,
}

#[async_trait]
impl Handler for Count {
    async fn run(&self, _services: &Services, job: &Job) -> Result<Outcome, JobError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        match job.arguments.as_str() {
            Some("snooze") => Ok(Outcome::Snooze(5_000)),
            Some("cancel") => Ok(Outcome::Cancel("never".into())),
            _ if self.fails => Err(JobError::Failed("on purpose".into())),
            _ => Ok(Outcome::Done),
        }
    }
}

fn worker(services: &Services, node: &str, handler: &Arc<Count>, schedules: &[Schedule]) -> Worker {
    let handler: Arc<dyn Handler> = handler.clone();
    Worker::new(
        services.clone(),
        node,
        QUEUE,
        vec![("count", handler)],
        schedules.to_vec(),
    )
}

async fn put(services: &Services, job: &NewJob<'_>) -> Option<String> {
    let mut write = services.store.write().await.unwrap();
    let now = write.now();
    let id = enqueue(&mut write, job, now).await.unwrap();
    write.commit().await.unwrap();
    id
}

async fn job(services: &Services, id: &str) -> (String, i64, i64, Option<String>) {
    let mut read = services.store.read().await.unwrap();
    let row = sqlx::query("SELECT state, attempt, run_at, last_error FROM job WHERE id = $1")
        .bind(id)
        .fetch_one(&mut *read)
        .await
        .unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

async fn jobs(services: &Services) -> i64 {
    let mut read = services.store.read().await.unwrap();
    sqlx::query("SELECT COUNT(*) FROM job")
        .fetch_one(&mut *read)
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn a_job_exists_exactly_if_the_callers_transaction_does() {
    let site = Site::new().await;
    let mut write = site.services.store.write().await.unwrap();
    let now = write.now();
    enqueue(&mut write, &NewJob::new(QUEUE, "count"), now)
        .await
        .unwrap();
    drop(write);
    assert_eq!(jobs(&site.services).await, 0);
}

#[tokio::test]
async fn a_unique_key_is_taken_while_its_job_waits_or_runs_and_free_afterwards() {
    let site = Site::new().await;
    let handler = Arc::new(Count::default());
    let worker = worker(&site.services, "a", &handler, &[]);
    let unique = NewJob {
        unique_key: Some("k"),
        ..NewJob::new(QUEUE, "count")
    };
    assert!(put(&site.services, &unique).await.is_some());
    assert!(put(&site.services, &unique).await.is_none());
    let held = worker.claim().await.unwrap().unwrap();
    assert!(put(&site.services, &unique).await.is_none());
    worker.complete(&held, Ok(Outcome::Done)).await.unwrap();
    assert!(put(&site.services, &unique).await.is_some());
}

#[tokio::test]
async fn a_slot_makes_one_job_however_many_nodes_look() {
    let site = Site::new().await;
    let other = site.another_node().await;
    let handler = Arc::new(Count::default());
    let first = worker(&site.services, "a", &handler, &[EACH_MINUTE]);
    let second = worker(&other, "b", &handler, &[EACH_MINUTE]);
    for minute in 1..=3 {
        let (a, b) = tokio::join!(first.round(), second.round());
        a.unwrap();
        b.unwrap();
        first.round().await.unwrap();
        second.round().await.unwrap();
        assert_eq!(handler.runs.load(Ordering::SeqCst), minute);
        site.clock.advance(60_000);
    }
}

#[tokio::test]
async fn nodes_share_the_work_and_no_job_runs_twice() {
    let site = Site::new().await;
    let other = site.another_node().await;
    for _ in 0..40 {
        put(&site.services, &NewJob::new(QUEUE, "count")).await.unwrap();
    }
    let handler = Arc::new(Count::default());
    let run = |services: &Services, node: &str| {
        let worker = worker(services, node, &handler, &[]);
        tokio::spawn(async move {
            let mut done = 0;
            while worker.round().await.unwrap() {
                done += 1;
            }
            done
        })
    };
    let (a, b) = (run(&site.services, "a"), run(&other, "b"));
    assert_eq!(a.await.unwrap() + b.await.unwrap(), 40);
    assert_eq!(handler.runs.load(Ordering::SeqCst), 40);
}

#[tokio::test]
async fn a_failed_job_waits_longer_each_time_and_the_wait_is_kept() {
    let site = Site::new().await;
    let handler = Arc::new(Count {
        fails: true,
        ..Count::default()
    });
    let first = worker(&site.services, "a", &handler, &[]);
    let id = put(
        &site.services,
        &NewJob {
            max_attempts: 3,
            ..NewJob::new(QUEUE, "count")
        },
    )
    .await
    .unwrap();
    let mut waits = Vec::new();
    for attempt in 1..=2 {
        assert!(first.round().await.unwrap());
        let (state, attempts, run_at, error) = job(&site.services, &id).await;
        assert_eq!((state.as_str(), attempts), ("available", attempt));
        assert!(error.unwrap().contains("on purpose"));
        waits.push(run_at - site.clock.now());
        // Not before its time; and another process knows the time too.
        assert!(!first.round().await.unwrap());
        let after = worker(&site.another_node().await, "b", &handler, &[]);
        assert!(!after.round().await.unwrap());
        site.clock.advance(waits[waits.len() - 1]);
    }
    assert!(
        (500..=1000).contains(&waits[0]) && (1000..=2000).contains(&waits[1]),
        "{waits:?}"
    );
    assert!(first.round().await.unwrap());
    assert_eq!(job(&site.services, &id).await.0, "discarded");
}

#[tokio::test]
async fn a_snoozed_job_spends_no_attempt_and_a_cancelled_one_never_runs_again() {
    let site = Site::new().await;
    let handler = Arc::new(Count::default());
    let worker = worker(&site.services, "a", &handler, &[]);
    let id = put(
        &site.services,
        &NewJob {
            arguments: "snooze".into(),
            ..NewJob::new(QUEUE, "count")
        },
    )
    .await
    .unwrap();
    worker.round().await.unwrap();
    let (state, attempts, run_at, _) = job(&site.services, &id).await;
    assert_eq!(
        (state.as_str(), attempts, run_at - site.clock.now()),
        ("available", 0, 5_000)
    );
    let id = put(
        &site.services,
        &NewJob {
            arguments: "cancel".into(),
            ..NewJob::new(QUEUE, "count")
        },
    )
    .await
    .unwrap();
    worker.round().await.unwrap();
    assert_eq!(job(&site.services, &id).await.0, "cancelled");
    assert!(!worker.round().await.unwrap());
}

#[tokio::test]
async fn urgent_jobs_come_first() {
    let site = Site::new().await;
    let handler = Arc::new(Count::default());
    let worker = worker(&site.services, "a", &handler, &[]);
    put(
        &site.services,
        &NewJob {
            priority: 5,
            ..NewJob::new(QUEUE, "count")
        },
    )
    .await;
    let urgent = put(
        &site.services,
        &NewJob {
            priority: -5,
            ..NewJob::new(QUEUE, "count")
        },
    )
    .await
    .unwrap();
    assert_eq!(worker.claim().await.unwrap().unwrap().job().id, urgent);
}

#[tokio::test]
async fn a_job_whose_worker_was_killed_is_rescued_when_its_lease_ends() {
    let site = Site::new().await;
    let other = site.another_node().await;
    let handler = Arc::new(Count::default());
    let dead = worker(&other, "dead", &handler, &[]);
    let alive = worker(&site.services, "alive", &handler, &[]);
    let id = put(&site.services, &NewJob::new(QUEUE, "count")).await.unwrap();
    // Killed between its claim and its completion: nothing of it is left but the row.
    drop(dead.claim().await.unwrap().unwrap());
    assert!(!alive.round().await.unwrap());
    site.clock.advance(LEASE_MS + 1);
    assert!(alive.round().await.unwrap());
    let (state, attempts, _, error) = job(&site.services, &id).await;
    assert_eq!((state.as_str(), attempts), ("completed", 2));
    assert!(error.unwrap().contains("stopped answering"));
}

#[tokio::test]
async fn a_job_that_kills_every_worker_is_given_up() {
    let site = Site::new().await;
    let handler = Arc::new(Count::default());
    let worker = worker(&site.services, "a", &handler, &[]);
    let id = put(
        &site.services,
        &NewJob {
            max_attempts: 2,
            ..NewJob::new(QUEUE, "count")
        },
    )
    .await
    .unwrap();
    for _ in 0..2 {
        drop(worker.claim().await.unwrap().unwrap());
        site.clock.advance(LEASE_MS + 1);
        assert_eq!(worker.rescue().await.unwrap(), 1);
    }
    assert_eq!(job(&site.services, &id).await.0, "discarded");
}

#[tokio::test]
async fn a_stalled_workers_completion_is_refused_once_the_job_is_anothers() {
    let site = Site::new().await;
    let other = site.another_node().await;
    let handler = Arc::new(Count::default());
    let stalled = worker(&other, "stalled", &handler, &[]);
    let alive = worker(&site.services, "alive", &handler, &[]);
    let id = put(&site.services, &NewJob::new(QUEUE, "count")).await.unwrap();
    let held = stalled.claim().await.unwrap().unwrap();
    site.clock.advance(LEASE_MS + 1);
    alive.rescue().await.unwrap();
    let again = alive.claim().await.unwrap().unwrap();
    let late = stalled
        .complete(&held, Err(JobError::Failed("late".into())))
        .await
        .unwrap();
    assert_eq!(late, Completion::Refused);
    assert_eq!(job(&site.services, &id).await.0, "running");
    assert_eq!(
        alive.complete(&again, Ok(Outcome::Done)).await.unwrap(),
        Completion::Written
    );
    assert_eq!(
        stalled.complete(&held, Ok(Outcome::Done)).await.unwrap(),
        Completion::Refused
    );
}

#[tokio::test]
async fn an_expiring_certificate_is_alerted_and_resolved_when_it_is_replaced() {
    let site = Site::new().await;
    site.tenant("acme").await;
    site.agent("acme", "berlin-1").await;
    let scan = picket_platform::jobs::certificate_expiry::CertificateExpiry;
    let nothing = Job {
        id: String::new(),
        kind: String::new(),
        arguments: serde_json::Value::Null,
        attempt: 1,
    };
    let open = async || {
        let mut read = site.services.store.read().await.unwrap();
        sqlx::query_scalar::<_, String>("SELECT severity FROM alert WHERE resolved_at IS NULL")
            .fetch_optional(&mut *read)
            .await
            .unwrap()
    };
    scan.run(&site.services, &nothing).await.unwrap();
    assert_eq!(open().await, None);
    site.clock.advance(80 * 86_400_000);
    scan.run(&site.services, &nothing).await.unwrap();
    assert_eq!(open().await.as_deref(), Some("warning"));
    site.clock.advance(8 * 86_400_000);
    scan.run(&site.services, &nothing).await.unwrap();
    assert_eq!(open().await.as_deref(), Some("critical"));
    let file = site.register("acme", "berlin-1", true).await;
    site.enrolled("acme", "berlin-1", &file).await;
    scan.run(&site.services, &nothing).await.unwrap();
    assert_eq!(open().await, None);
}
