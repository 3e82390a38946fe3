//! Guests that use up time, or end in a way that isn't a report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use picket_sandbox::run::{FailureClass, Limits};

use crate::support::{MemoryState, engine, failed, guest, number, reported, run_forged, run_guest, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noop_reports() {
    let checker = guest("noop");
    let warm = picket_sandbox::run::run(&checker, spec("{}", &[])).await;
    assert_eq!(reported(&warm).summary, "nothing was done");
    let runs = 200_u32;
    let began = Instant::now();
    for _ in 0..runs {
        let outcome = picket_sandbox::run::run(&checker, spec("{}", &[])).await;
        reported(&outcome);
    }
    println!(
        "a run of noop: {:?} ({})",
        began.elapsed() / runs,
        engine().allocation()
    );
}

#[tokio::test]
async fn describe_and_needs_work_without_authority() {
    let checker = guest("noop");
    assert_eq!(checker.describe().await.unwrap().name, "guest");
    assert!(checker.needs("{}").await.unwrap().is_empty());
}

#[tokio::test]
async fn spin_is_stopped_by_its_cpu_budget() {
    let mut spec = spec("{}", &[]);
    spec.limits.cpu = Duration::from_millis(200);
    let outcome = run_guest("spin", spec).await;
    assert!(failed(&outcome, FailureClass::Cpu).contains("200ms"));
    assert!(
        outcome.usage.cpu >= Duration::from_millis(200),
        "{:?}",
        outcome.usage
    );
    assert!(
        outcome.usage.cpu < Duration::from_millis(600),
        "{:?}",
        outcome.usage
    );
}

#[tokio::test]
async fn spin_is_stopped_by_its_timeout_and_lets_others_run_meanwhile() {
    let mut slow = spec("{}", &[]);
    slow.limits.wall = Duration::from_millis(500);
    let spinning = run_guest("spin", slow);
    // One thread: the honest guest only gets its turn if the spinning one yields.
    let honest = async {
        let outcome = run_guest("noop", spec("{}", &[])).await;
        reported(&outcome);
        Instant::now()
    };
    let (outcome, honest_done) = tokio::join!(spinning, honest);
    failed(&outcome, FailureClass::Timeout);
    assert!(honest_done < Instant::now());
}

#[tokio::test]
async fn sleep_forever_is_stopped_in_its_host_call() {
    let mut spec = spec("{}", &[]);
    spec.limits.wall = Duration::from_millis(200);
    let outcome = run_guest("sleep-forever", spec).await;
    assert!(failed(&outcome, FailureClass::Timeout).contains("200ms"));
    assert!(outcome.usage.wall < Duration::from_secs(2), "{:?}", outcome.usage);
    assert!(
        outcome.usage.cpu < Duration::from_millis(100),
        "{:?}",
        outcome.usage
    );
}

#[tokio::test]
async fn host_call_storm_is_stopped_by_its_cpu_budget() {
    let mut spec = spec("{}", &[]);
    spec.limits = Limits {
        cpu: Duration::from_millis(200),
        ..spec.limits
    };
    let outcome = run_guest("host-call-storm", spec).await;
    failed(&outcome, FailureClass::Cpu);
    assert!(outcome.usage.host_calls > 1_000, "{:?}", outcome.usage);
}

#[tokio::test]
async fn deep_recursion_crashes_alone() {
    let outcome = run_guest("deep-recursion", spec("{}", &[])).await;
    let sentence = failed(&outcome, FailureClass::Crash);
    // The engine's stack or the one in the guest's memory, whichever is gone first.
    assert!(
        sentence.contains("stack") || sentence.contains("out of bounds"),
        "{sentence}"
    );
}

#[tokio::test]
async fn trap_is_a_crash() {
    let outcome = run_guest("trap", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::Crash).contains("unreachable"));
}

#[tokio::test]
async fn panic_tells_its_message() {
    let outcome = run_guest("panic", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::Crash).contains("on purpose"));
    assert!(outcome.logs.stderr.contains("on purpose"));
}

#[tokio::test]
async fn exit_is_a_crash_of_the_guest_and_not_of_the_host() {
    let outcome = run_guest("exit", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::Crash).contains("ended its process with code 0"));
}

#[tokio::test]
async fn block_on_poll_is_stopped_by_its_timeout() {
    let mut spec = spec("{}", &[]);
    spec.limits.wall = Duration::from_millis(200);
    let outcome = run_guest("block-on-poll", spec).await;
    assert!(failed(&outcome, FailureClass::Timeout).contains("200ms"));
    assert!(
        outcome.usage.cpu < Duration::from_millis(100),
        "{:?}",
        outcome.usage
    );
}

#[tokio::test]
async fn block_on_poll_of_nothing_is_a_crash() {
    let outcome = run_guest("block-on-poll", spec("1", &[])).await;
    assert!(failed(&outcome, FailureClass::Crash).contains("empty poll list"));
}

/// It spins before it has a chance to say anything: whoever asks gets an answer all the same.
#[tokio::test]
async fn spin_in_describe_is_stopped_and_its_run_is_not_touched() {
    let checker = guest("spin-in-describe");
    let (described, needed) = (checker.describe().await, checker.needs("{}").await);
    assert_eq!(described.unwrap_err().class, FailureClass::Cpu);
    assert_eq!(needed.unwrap_err().class, FailureClass::Cpu);
    let outcome = run_guest("spin-in-describe", spec("{}", &[])).await;
    assert!(reported(&outcome).summary.contains("honest"));
}

#[tokio::test]
async fn hundredth_run_is_stopped_and_every_other_one_is_honest() {
    let checker = guest("hundredth-run");
    let state = Arc::new(MemoryState::default());
    let next = async || {
        let mut spec = spec("{}", &[]);
        spec.limits.cpu = Duration::from_millis(300);
        spec.state = Arc::clone(&state) as Arc<_>;
        picket_sandbox::run::run(&checker, spec).await
    };
    for run in 1..100 {
        assert_eq!(number(&next().await, "runs"), f64::from(run));
    }
    // A run that is stopped leaves no state, so that it stands before its hundredth run for ever.
    for _ in 0..2 {
        failed(&next().await, FailureClass::Cpu);
    }
    assert_eq!(
        state.0.lock().unwrap().get("runs").map(Vec::as_slice),
        Some(&[99][..])
    );
}

#[tokio::test]
async fn random_flood_in_small_portions_is_stopped_by_its_cpu_budget() {
    let mut spec = spec("1", &[]);
    spec.limits.cpu = Duration::from_millis(200);
    failed(&run_guest("random-flood", spec).await, FailureClass::Cpu);
}

/// The clock runs from the first instruction to the last, whichever function that is in.
#[tokio::test]
async fn start_realloc_and_post_return_are_within_the_cpu_budget() {
    let limited = || {
        let mut spec = spec("{}", &[]);
        spec.limits.cpu = Duration::from_millis(200);
        spec
    };
    for outcome in [
        run_forged("start-spin", limited()).await,
        run_forged("realloc-spin", limited()).await,
        run_forged("post-return-spin", limited()).await,
    ] {
        failed(&outcome, FailureClass::Cpu);
    }
}
