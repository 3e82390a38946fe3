//! Every hostile guest on one agent for a minute, beside fifty honest checks, each of them every second.
//!
//! A program of its own, which nextest runs by itself (`.config/nextest.toml`), since it measures lateness. Its
//! bounds are those that a busy machine with two cores holds: they tell an agent that suffers from one that doesn't, and
//! not a quick machine from a slow one.

mod checks;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use checks::Expected;
use picket_tests::alone::{Alone, Dialled};
use picket_tests::resources;
use picket_tests::servers::Nginx;
use picket_tests::wait;

/// How long everything runs before it is looked at first: compiling is over then, and pools have grown.
const WARM_UP: Duration = Duration::from_secs(10);
const SOAK: Duration = Duration::from_secs(50);
/// What resident memory may have gained in the minute.
const GROWTH: u64 = 32 << 20;

/// The agent's memory and descriptors when it has the least of them.
#[derive(Debug, Clone)]
struct Sample {
    resident: u64,
    descriptors: BTreeMap<String, usize>,
}

impl Sample {
    fn open(&self) -> usize {
        self.descriptors.values().sum()
    }
}

/// The least of a few seconds: runs come and go, and what matters is what stays.
async fn sample(process: u32) -> anyhow::Result<Sample> {
    let mut least = Sample {
        resident: u64::MAX,
        descriptors: resources::descriptors(process)?,
    };
    for _ in 0..100 {
        least.resident = least.resident.min(resources::resident(process)?);
        let descriptors = resources::descriptors(process)?;
        if descriptors.values().sum::<usize>() < least.open() {
            least.descriptors = descriptors;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(least)
}

/// Asks the agent what it is, over and over until the time is over, and counts the answers.
async fn describe_until(end: Instant, gateway: &mut Dialled) -> anyhow::Result<usize> {
    let mut answers = 0;
    while Instant::now() < end {
        let answer = tokio::time::timeout(Duration::from_secs(10), gateway.describe()).await??;
        assert!(answer.checks.len() >= checks::HONEST, "{}", answer.checks.len());
        answers += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(answers)
}

/// Has every hostile check run about once a second: left to its schedule, the agent would put those that crash further and
/// further apart. Ends with the soak, and counts the runs.
async fn attack_until(end: Instant, gateway: &Dialled, hostile: &[Expected]) -> usize {
    let mut runs = 0;
    while Instant::now() < end {
        let next = tokio::time::Instant::now() + Duration::from_secs(1);
        // Some at once; most places stay free for honest checks.
        let round = stream::iter(hostile).map(|(name, _)| gateway.run_check(name));
        let ran = round.buffer_unordered(8).filter(|ran| std::future::ready(*ran));
        runs += ran.count().await;
        tokio::time::sleep_until(next).await;
    }
    runs
}

#[tokio::test]
async fn hostile_guests_disturb_nobody_for_a_minute() -> anyhow::Result<()> {
    let mut alone = Alone::new()?;
    let nginx = Nginx::start(alone.folder()).await?;
    let hostile = checks::install(&alone.agent, &nginx)?;
    alone.agent.start()?;
    let process = alone.agent.process()?.id();
    let mut gateway = alone.dial().await?;
    // It listens before all components are compiled; the minute begins when the last check could run.
    let end = Instant::now() + wait::DEADLINE;
    loop {
        let answer = gateway.describe().await?;
        let is_loading = answer
            .checkers
            .iter()
            .any(|checker| checker.problem.contains("is being compiled"));
        if !is_loading && answer.checks.len() >= checks::HONEST + hostile.len() {
            break;
        }
        assert!(Instant::now() < end, "not all checks are there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let began = verdict::unix_ms();
    describe_until(Instant::now() + WARM_UP, &mut gateway).await?;
    let before = sample(process).await?;
    let attackers = alone.dial().await?;
    let end = Instant::now() + SOAK;
    let (answers, attacks) = tokio::join!(
        describe_until(end, &mut gateway),
        attack_until(end, &attackers, &hostile)
    );
    let answers = answers?;
    let ended = verdict::unix_ms();
    // Look-ups that nobody waits for any more end by themselves, when the system's resolver gives up.
    let settled = Instant::now() + Duration::from_secs(60);
    let mut after = sample(process).await?;
    while after.open() > before.open() + 2 && Instant::now() < settled {
        after = sample(process).await?;
    }

    let results = gateway.results().await?;
    verdict::honest_checks_were_on_time_and_well(&results, began, ended);
    verdict::hostile_checks_came_to_what_they_must(&results, &hostile);
    // Each of them each second was asked for; on a busy machine a round takes longer.
    assert!(attacks >= hostile.len() * 5, "{attacks} hostile runs in {SOAK:?}");
    // Twice a second was asked; a tenth of that is an agent that answers, on a machine that does other things as well.
    assert!(answers >= 10, "{answers} answers in {SOAK:?}");
    assert!(
        after.resident <= before.resident + GROWTH,
        "{after:?}, and {before:?} after the first seconds"
    );
    assert!(
        after.open() <= before.open() + 2,
        "{after:?}, and {before:?} after the first seconds"
    );
    assert_eq!(resources::children(process)?, [] as [u32; 0]);
    alone.agent.stop()
}
