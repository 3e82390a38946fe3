use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;

fn next(plan: &Plan, after_ms: u64) -> u64 {
    plan.next_after(after_ms, 0).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cron(text: &str, jitter: Duration) -> Plan {
    Plan::cron("berlin-1", "web", text.parse().unwrap(), jitter)
}

proptest! {
    #[test]
    fn runs_are_one_interval_apart_give_or_take_the_jitter(
        check in "[a-z]{1,10}",
        interval in 1_000u64..1_000_000,
        tenth in 0u64..10,
        start in 0u64..2_000_000_000_000,
    ) {
        let jitter = interval / 10 * tenth;
        let plan =
            Plan::new("berlin-1", &check, Duration::from_millis(interval), Duration::from_millis(jitter));
        let first = next(&plan, start);
        prop_assert!(first > start && first <= start + interval + jitter);
        let second = next(&plan, first);
        prop_assert!(second - first >= interval - jitter && second - first <= interval + jitter);
    }

    #[test]
    fn turns_are_counted_as_they_come(
        interval in 1_000u64..100_000,
        tenth in 0u64..10,
        start in 0u64..2_000_000_000_000,
        length in 0u64..1_000_000,
        is_cron: bool,
    ) {
        let plan = if is_cron {
            cron("*/2 * * * *", Duration::from_millis(tenth * 1_000)).with_offset(seconds(90))
        } else {
            Plan::new("a", "b", Duration::from_millis(interval), Duration::from_millis(interval / 10 * tenth))
        };
        let (mut at, mut count) = (start, 0);
        loop {
            at = next(&plan, at);
            if at > start + length {
                break;
            }
            count += 1;
        }
        prop_assert_eq!(plan.turns_between(start, start + length, 0), count);
    }
}

#[test]
fn the_phase_is_the_same_after_a_restart_and_differs_between_checks_and_agents() {
    let plan = |agent, check| next(&Plan::new(agent, check, seconds(60), Duration::ZERO), 1_000_000);
    assert_eq!(plan("a", "web"), plan("a", "web"));
    assert_ne!(plan("a", "web"), plan("a", "dns"));
    assert_ne!(plan("a", "web"), plan("b", "web"));
    assert_ne!(plan("a", "bc"), plan("ab", "c"));
}

#[test]
fn a_thousand_checks_spread_over_the_interval() {
    let mut tenths = [0; 10];
    for n in 0..1_000 {
        let plan = Plan::new("a", &format!("check-{n}"), seconds(10), Duration::ZERO);
        tenths[(next(&plan, 0) % 10_000 / 1_000) as usize] += 1;
    }
    assert!(tenths.iter().all(|&count| count > 60), "{tenths:?}");
}

#[test]
fn an_offset_takes_the_place_of_the_hashed_phase() {
    let plan = Plan::new("a", "web", seconds(60), Duration::ZERO).with_offset(seconds(10));
    assert_eq!(next(&plan, 0), 10_000);
    assert_eq!(next(&plan, 10_000), 70_000);
}

#[test]
fn a_cron_comes_at_its_times_and_an_offset_shifts_it() {
    let plan = cron("*/5 * * * *", Duration::ZERO);
    assert_eq!(next(&plan, 0), 5 * MINUTE);
    assert_eq!(next(&plan, 5 * MINUTE), 10 * MINUTE);
    let shifted = plan.with_offset(seconds(90));
    assert_eq!(next(&shifted, 60 * MINUTE), 61 * MINUTE + 30_000);
    assert_eq!(next(&shifted, 61 * MINUTE + 30_000), 66 * MINUTE + 30_000);
}

#[test]
fn a_crons_jitter_stays_within_itself() {
    let plan = cron("* * * * *", seconds(30));
    let mut at = 0;
    for minute in 1..100 {
        let due = next(&plan, at);
        assert!(
            (minute * MINUTE..=minute * MINUTE + 30_000).contains(&due),
            "{due}"
        );
        at = due;
    }
}

#[test]
fn a_cron_follows_the_wall_clock_and_an_interval_doesnt() {
    // The wall clock was put two minutes ahead of the line.
    let ahead = 120_000;
    let plan = cron("*/5 * * * *", Duration::ZERO);
    assert_eq!(plan.next_after(0, ahead), Some(3 * MINUTE));
    assert_eq!(plan.next_after(3 * MINUTE, ahead), Some(8 * MINUTE));
    let plan = Plan::new("a", "web", seconds(60), Duration::ZERO);
    assert_eq!(plan.next_after(0, ahead), plan.next_after(0, 0));
}

#[test]
fn a_period_is_the_interval_or_the_time_to_a_crons_next_turn() {
    assert_eq!(
        Plan::new("a", "b", seconds(60), seconds(6)).period_ms(123, 0),
        60_000
    );
    let daily = cron("0,30 3 * * *", Duration::ZERO);
    assert_eq!(daily.period_ms(180 * MINUTE, 0), 30 * MINUTE);
    assert_eq!(daily.period_ms(210 * MINUTE, 0), (24 * 60 - 30) * MINUTE);
    // Out of its turn, a minute before one.
    assert_eq!(daily.period_ms(179 * MINUTE, 0), 30 * MINUTE);
}
