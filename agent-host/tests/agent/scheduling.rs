//! When checks run, and what becomes of runs that wait, fail, crash, or are under way when the agent ends.

use picket_proto::agent::v1::{CheckResult, FailureClass, RunCheckRequest, Status};

use crate::world::{Gateway, World, eventually, start};

async fn run_now(gateway: &Gateway, check: &str) -> Result<CheckResult, tonic::Status> {
    let request = RunCheckRequest {
        check: check.to_owned(),
    };
    let answer = gateway.client.clone().run_check(request).await?;
    Ok(answer.into_inner().result.unwrap())
}

async fn all_results(gateway: &mut Gateway) -> Vec<CheckResult> {
    let batches = gateway.poll(start("", 0, false)).await;
    batches.into_iter().flat_map(|batch| batch.results).collect()
}

/// Polls until there are so many results of a check.
async fn results_of(gateway: &mut Gateway, check: &str, count: usize) -> Vec<CheckResult> {
    let gateway = tokio::sync::Mutex::new(gateway);
    eventually("results of a check", || async {
        let mut found = all_results(*gateway.lock().await).await;
        found.retain(|result| result.check == check);
        (found.len() >= count).then_some(found)
    })
    .await
}

/// A check that has no turn while the test runs.
fn rare(world: &World, name: &str, checker: &str, more: &str) {
    let text = format!("[check.{name}]\nchecker = \"{checker}\"\ninterval = \"7days\"\n{more}\n");
    world.write(&format!("checks.d/{name}.toml"), &text);
}

#[tokio::test]
async fn a_soft_result_is_retried_until_it_is_hard() {
    let world = World::new();
    world.install_guest("trap");
    rare(&world, "down", "trap", "attempts = 3\nretry_interval = \"1s\"");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let first = run_now(&gateway, "down").await.unwrap();
    assert_eq!((first.attempt, first.hard), (1, false));
    let results = results_of(&mut gateway, "down", 3).await;
    let attempts: Vec<_> = results
        .iter()
        .map(|result| (result.attempt, result.hard))
        .collect();
    assert_eq!(attempts, [(1, false), (2, false), (3, true)]);
    for pair in results.windows(2) {
        let apart_ms = pair[1].started_at_unix_ms - pair[0].started_at_unix_ms;
        assert!(apart_ms >= 1_000, "{apart_ms} ms between a result and its retry");
    }
    running.stop().await;
}

#[tokio::test]
async fn every_result_is_hard_without_attempts_and_an_ok_one_has_none() {
    let world = World::new();
    world.install_guest("trap");
    world.install_guest("noop");
    rare(&world, "down", "trap", "");
    rare(&world, "up", "noop", "");
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    for expected in 1..=2 {
        let down = run_now(&gateway, "down").await.unwrap();
        assert_eq!((down.attempt, down.hard), (expected, true));
    }
    let up = run_now(&gateway, "up").await.unwrap();
    assert_eq!((up.attempt, up.hard), (0, true));
    running.stop().await;
}

#[tokio::test]
async fn a_checker_that_crashes_is_put_apart_shown_and_well_again_when_it_is_replaced() {
    let world = World::new();
    let install = |guest: &str| {
        let temporary = world.path("checkers/.flaky");
        std::fs::copy(crate::world::guest(guest), &temporary).unwrap();
        std::fs::rename(temporary, world.path("checkers/flaky.wasm")).unwrap();
    };
    install("trap");
    world.add_check("flaky", "flaky", "");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let results = results_of(&mut gateway, "flaky", 5).await;
    assert_eq!((results[1].interval_ms, results[1].details.as_str()), (1_000, ""));
    assert_eq!((results[2].interval_ms, results[3].interval_ms), (2_000, 4_000));
    assert!(
        results[2].details.contains("the next runs are about 2s apart"),
        "{}",
        results[2].details
    );
    // What was left out is counted: a turn each second, of which every second and then every fourth is run.
    let skipped: Vec<_> = results.iter().take(5).map(|result| result.skipped).collect();
    assert!(skipped[3] >= 1 && skipped[4] >= 3, "{skipped:?}");
    let described = gateway.describe().await;
    assert!(
        described.checks[0].health.starts_with("failing: ")
            && described.checks[0].health.ends_with("(crash)"),
        "{}",
        described.checks[0].health
    );
    assert_eq!(described.checkers[0].health, described.checks[0].health);
    let crashed = "picket_agent_check_crashed_runs{check=\"flaky\",checker=";
    assert!(running.metrics().render().contains(crashed));
    // Asked for, it runs at once.
    let asked = run_now(&gateway, "flaky").await.unwrap();
    assert_eq!(asked.failure(), FailureClass::Crash);
    // Its next turn is 16 s away by now; a new checker has its own.
    install("noop");
    let client = gateway.client.clone();
    eventually("the checker to be well", || async {
        let request = picket_proto::agent::v1::DescribeRequest {};
        let described = client.clone().describe(request).await.unwrap().into_inner();
        (described.checks[0].health == "healthy").then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn runs_that_wait_for_a_place_are_late_lose_nothing_and_dont_pay_for_the_wait() {
    let world = World::new();
    world.install_guest("sleep-forever");
    world.write(
        "agent.toml",
        "listen = \"127.0.0.1:0\"\n[limits]\nconcurrent_runs = 1\n",
    );
    let names = ["a", "b", "c", "d"];
    for name in names {
        rare(&world, name, "sleep-forever", "timeout = \"1s\"");
    }
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let runs = names.map(|name| run_now(&gateway, name));
    let mut results: Vec<_> = futures_util::future::join_all(runs)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    results.sort_by_key(|result| result.started_at_unix_ms);
    for pair in results.windows(2) {
        let apart_us = (pair[1].started_at_unix_ms - pair[0].started_at_unix_ms) * 1_000;
        // One after the other. A run whose wall time had the wait in it would overlap the next one's start.
        assert!(apart_us + 5_000 >= pair[0].usage.unwrap().wall_us, "{pair:?}");
    }
    for result in &results {
        assert_eq!(
            (result.status(), result.failure()),
            (Status::Unknown, FailureClass::Timeout),
            "{result:?}"
        );
        assert!(
            result.usage.unwrap().wall_us >= 1_000_000,
            "the wait was counted against its timeout: {result:?}"
        );
        // All were asked for before the first one ended; when each was due isn't moved by its wait.
        assert!(
            result.scheduled_at_unix_ms <= results[1].started_at_unix_ms,
            "{result:?}"
        );
    }
    let spooled: std::collections::BTreeSet<_> = all_results(&mut world.gateway(&running).await)
        .await
        .into_iter()
        .map(|result| result.check)
        .collect();
    assert_eq!(spooled.len(), names.len(), "{spooled:?}");
    let latest = running
        .metrics()
        .meters
        .snapshot()
        .values()
        .map(|meter| meter.late_ms)
        .max();
    assert!(latest >= Some(1_500), "{latest:?}");
    running.stop().await;
}

#[tokio::test]
async fn no_result_of_a_finished_run_is_lost_when_the_agent_ends() {
    let world = World::new();
    world.install_guest("sleep-forever");
    world.install_guest("noop");
    for n in 0..4 {
        world.add_check(&format!("slow-{n}"), "sleep-forever", "timeout = \"700ms\"");
        world.add_check(&format!("fast-{n}"), "noop", "");
    }
    let running = world.start().await;
    let meters = running.metrics().meters.clone();
    let runs = || {
        meters
            .snapshot()
            .values()
            .map(|meter| meter.run_count())
            .sum::<u64>()
    };
    eventually("some runs", || async { (runs() >= 12).then_some(()) }).await;
    // Slow ones are under way nearly all the time.
    let before = runs();
    running.stop().await;
    let spool = picket_agent_host::app::spool_dir(&world.config());
    let view = picket_agent_host::spool::peek(&spool, 256 << 20).unwrap();
    assert_eq!(view.last_seq(), runs(), "{before} runs before the end");
}

#[tokio::test]
async fn a_check_with_a_cron_says_what_to_expect_next() {
    let world = World::new();
    world.install_guest("noop");
    world.write(
        "checks.d/timed.toml",
        "[check.timed]\nchecker = \"noop\"\ncron = \"*/5 * * * *\"\noffset = \"10s\"\n",
    );
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let described = gateway.describe().await;
    assert_eq!(
        (
            described.checks[0].problem.as_str(),
            described.checks[0].interval_ms
        ),
        ("", 300_000)
    );
    let result = run_now(&gateway, "timed").await.unwrap();
    assert_eq!((result.status(), result.interval_ms), (Status::Ok, 300_000));
    running.stop().await;
}

/// Each line of a Prometheus text is a comment of a known form, or a sample of a family that was announced before.
fn assert_is_exposition(text: &str) {
    let mut families = std::collections::BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                families.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} comes twice"
            );
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count", ""]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|family| families.contains_key(*family));
            assert!(family.is_some(), "{line} has no type");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(!series.contains('{') || series.ends_with("\"}"), "{line}");
        }
    }
}

#[tokio::test]
async fn each_check_has_its_metrics_until_it_is_removed() {
    let world = World::new();
    world.install_guest("noop");
    for check in ["stays", "goes"] {
        world.add_check(check, "noop", "");
    }
    let running = world.start().await;
    let has = |check: &str| {
        let text = running.metrics().render();
        assert_is_exposition(&text);
        text.lines()
            .filter(|line| line.contains(&format!("{{check=\"{check}\",checker=\"")))
            .count()
    };
    eventually("both checks' metrics", || async {
        (has("stays") == 15 && has("goes") == 15).then_some(())
    })
    .await;
    std::fs::remove_file(world.path("checks.d/goes.toml")).unwrap();
    eventually("the removed check's metrics to go", || async {
        (has("goes") == 0).then_some(())
    })
    .await;
    assert_eq!(has("stays"), 15);
    running.stop().await;
}
