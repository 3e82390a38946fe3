use std::time::Duration;

use picket_proto::agent::v1::FailureClass;
use proptest::prelude::*;

use super::*;
use crate::schedule::course::Outcome;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;

fn name(text: &str) -> CheckName {
    text.parse().unwrap()
}

fn plan(check: &str) -> Plan {
    Plan::new("a", check, Duration::from_secs(10), Duration::from_secs(1))
}

/// Each ten seconds on the second, without jitter.
fn exact() -> Plan {
    Plan::new("a", "web", Duration::from_secs(10), Duration::ZERO).with_offset(Duration::ZERO)
}

fn cron(text: &str) -> Plan {
    Plan::cron("a", "web", text.parse().unwrap(), Duration::ZERO)
}

fn with(plan: Plan) -> Table {
    let mut table = Table::default();
    table.set(&name("web"), plan, 0);
    table
}

/// Ends a run with an outcome, as the runner would.
fn end(table: &mut Table, due: &Due, outcome: Outcome, now_ms: u64) {
    let course = due.course.after(outcome, due.retries);
    table.finished(&due.check, Some((0, course)), now_ms);
}

/// Runs what is due next, at its time, for `takes` ms; tells when, and what was skipped before.
fn next_run(table: &mut Table, outcome: Outcome, takes: u64) -> (u64, u32) {
    let now = table.next_due_ms().unwrap();
    let due = table.take_due(now).pop().unwrap();
    end(table, &due, outcome, now + takes);
    (now, due.skipped)
}

#[test]
fn a_check_that_still_runs_is_skipped_and_the_next_run_says_so() {
    let mut table = with(plan("web"));
    let mut now = table.next_due_ms().unwrap();
    assert_eq!(table.take_due(now).len(), 1);
    for _ in 0..3 {
        now = table.next_due_ms().unwrap();
        assert_eq!(table.take_due(now), []);
    }
    table.finished(&name("web"), None, now);
    now = table.next_due_ms().unwrap();
    let due = table.take_due(now).pop().unwrap();
    assert_eq!((due.late_ms, due.skipped), (0, 3));
}

#[test]
fn after_a_long_pause_each_check_runs_once_at_its_own_turn() {
    let mut table = Table::default();
    for n in 0..20 {
        let check = format!("c{n}");
        table.set(&name(&check), plan(&check), 0);
    }
    let woken = HOUR;
    assert_eq!(table.take_due(woken), [], "a burst");
    let mut runs = Vec::new();
    while runs.len() < 20 {
        let now = table.next_due_ms().unwrap();
        let due = table.take_due(now);
        assert!(due.len() <= 2, "they come at their phases: {due:?}");
        runs.extend(due.into_iter().map(|due| (due.check, due.skipped)));
        assert!(now <= woken + 11 * SECOND);
    }
    let names: std::collections::BTreeSet<_> = runs.iter().map(|(check, _)| check).collect();
    assert_eq!(names.len(), 20);
    assert!(
        runs.iter().all(|(_, skipped)| (357..=361).contains(skipped)),
        "{runs:?}"
    );
}

#[test]
fn after_a_short_pause_a_check_runs_at_once_and_not_again_right_after() {
    let mut table = with(exact());
    assert_eq!(table.next_due_ms(), Some(10 * SECOND));
    let due = table.take_due(18 * SECOND).pop().unwrap();
    assert_eq!((due.late_ms, due.skipped), (8 * SECOND, 0));
    end(&mut table, &due, Outcome::Ok, 18 * SECOND);
    // The turn at 20 s is that run's as well.
    assert_eq!(next_run(&mut table, Outcome::Ok, 0), (30 * SECOND, 1));
}

#[test]
fn a_pause_of_a_whole_interval_waits_for_the_next_turn_and_counts_the_missed_ones() {
    let mut table = with(exact());
    assert_eq!(table.take_due(45 * SECOND), []);
    assert_eq!(next_run(&mut table, Outcome::Ok, 0), (50 * SECOND, 4));
}

#[test]
fn a_cron_that_was_slept_through_once_runs_at_once_and_twice_waits() {
    let mut table = with(cron("0 * * * *"));
    let due = table.take_due(HOUR + 50 * MINUTE).pop().unwrap();
    assert_eq!((due.late_ms, due.skipped, due.period_ms), (50 * MINUTE, 0, HOUR));
    end(&mut table, &due, Outcome::Ok, HOUR + 50 * MINUTE);
    // Its times are explicit: the next one isn't left out.
    assert_eq!(table.next_due_ms(), Some(2 * HOUR));
    assert_eq!(table.take_due(5 * HOUR + MINUTE), []);
    assert_eq!(next_run(&mut table, Outcome::Ok, 0), (6 * HOUR, 4));
}

#[test]
fn a_cron_comes_at_its_time_again_when_the_clock_was_put_right() {
    let mut table = with(cron("0 * * * *"));
    table.set(&name("dns"), plan("dns"), 0);
    let interval = table.entries[&name("dns")].due_ms;
    // A machine that started in 1970 learns what time it is: half past.
    table.set_skew(i64::try_from(HOUR / 2).unwrap(), 0);
    assert_eq!(table.entries[&name("web")].due_ms, Some(HOUR / 2));
    assert_eq!(table.entries[&name("dns")].due_ms, interval);
    table.set_skew(i64::try_from(HOUR / 2).unwrap() + 500, 0);
    assert_eq!(table.entries[&name("web")].due_ms, Some(HOUR / 2));
}

#[test]
fn a_run_out_of_turn_never_overlaps_and_leaves_the_turns_alone() {
    let mut table = with(plan("web"));
    let due = table.next_due_ms();
    let run = table.start_now(&name("web"), 1).unwrap();
    assert_eq!(table.start_now(&name("web"), 2), Err(Refused::Running));
    assert_eq!(table.start_now(&name("dns"), 2), Err(Refused::Unknown));
    assert_eq!(table.next_due_ms(), due);
    end(&mut table, &run, Outcome::Ok, 3);
    assert_eq!(table.next_due_ms(), due);
}

#[test]
fn a_check_that_is_removed_and_comes_back_doesnt_overlap_its_last_run() {
    let mut table = with(plan("web"));
    table.start_now(&name("web"), 0).unwrap();
    table.retain(|_| false);
    assert_eq!(table.start_now(&name("web"), 0), Err(Refused::Unknown));
    table.set(&name("web"), plan("web"), 0);
    assert_eq!(table.start_now(&name("web"), 0), Err(Refused::Running));
    table.finished(&name("web"), None, 0);
    assert!(table.start_now(&name("web"), 0).is_ok());
}

#[test]
fn the_same_plan_again_changes_nothing() {
    let mut table = with(plan("web"));
    let due = table.next_due_ms();
    table.set(&name("web"), plan("web"), due.unwrap() + 5);
    assert_eq!(table.next_due_ms(), due);
}

fn retried(attempts: u32) -> Plan {
    exact().with_retries(Retries {
        attempts,
        interval_ms: Some(2 * SECOND),
    })
}

#[test]
fn a_soft_result_is_retried_and_a_hard_one_goes_back_to_its_turns() {
    let mut table = with(retried(3));
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(next_run(&mut table, Outcome::NotOk, 100));
    }
    let seconds: Vec<_> = starts.iter().map(|(at, _)| at / 100).collect();
    // From the end of each to the start of the next: 2 s, until the third.
    assert_eq!(seconds, [100, 121, 142, 200, 300]);
    assert!(starts.iter().all(|(_, skipped)| *skipped == 0), "{starts:?}");
}

#[test]
fn a_retry_that_is_ok_ends_the_retries() {
    let mut table = with(retried(3));
    assert_eq!(next_run(&mut table, Outcome::NotOk, 0).0, 10 * SECOND);
    assert_eq!(next_run(&mut table, Outcome::Ok, 0).0, 12 * SECOND);
    assert_eq!(next_run(&mut table, Outcome::Ok, 0).0, 20 * SECOND);
}

#[test]
fn a_turn_that_comes_before_the_retry_is_the_retry() {
    let mut table = with(retried(3));
    assert_eq!(next_run(&mut table, Outcome::NotOk, 9 * SECOND).0, 10 * SECOND);
    assert_eq!(next_run(&mut table, Outcome::NotOk, 0), (20 * SECOND, 0));
    assert_eq!(next_run(&mut table, Outcome::NotOk, 0).0, 22 * SECOND);
    // The retry at 22 s was the third; no turn follows it closer than a retry would.
    assert_eq!(next_run(&mut table, Outcome::NotOk, 0).0, 30 * SECOND);
}

#[test]
fn no_turn_follows_a_retry_closer_than_a_retry_would() {
    let mut table = with(retried(3));
    assert_eq!(next_run(&mut table, Outcome::NotOk, 7_500).0, 10 * SECOND);
    assert_eq!(next_run(&mut table, Outcome::Ok, 0).0, 19_500);
    // The turn at 20 s would look again after half a second.
    assert_eq!(next_run(&mut table, Outcome::Ok, 0), (30 * SECOND, 0));
}

const CRASH: Outcome = Outcome::Crashed(FailureClass::Crash);

#[test]
fn a_crashing_check_is_put_apart_and_its_next_result_counts_what_was_left_out() {
    let mut table = with(exact());
    let runs: Vec<_> = (0..8).map(|_| next_run(&mut table, CRASH, 100)).collect();
    let at: Vec<_> = runs.iter().map(|(at, _)| at / SECOND).collect();
    assert_eq!(at, [10, 20, 30, 50, 90, 170, 330, 490]);
    let skipped: Vec<_> = runs.iter().map(|(_, skipped)| *skipped).collect();
    assert_eq!(skipped, [0, 0, 0, 1, 3, 7, 15, 15]);
    // The first good run ends it.
    assert_eq!(next_run(&mut table, Outcome::Ok, 100).0, 650 * SECOND);
    assert_eq!(next_run(&mut table, Outcome::Ok, 100), (660 * SECOND, 0));
}

#[test]
fn a_run_out_of_turn_always_runs_and_counts_what_was_left_out_so_far() {
    let mut table = with(exact());
    for _ in 0..5 {
        next_run(&mut table, CRASH, 100);
    }
    assert_eq!(table.next_due_ms(), Some(170 * SECOND));
    let now = 125 * SECOND;
    let due = table.start_now(&name("web"), now).unwrap();
    assert_eq!(due.skipped, 3);
    end(&mut table, &due, Outcome::Ok, now);
    assert_eq!(next_run(&mut table, Outcome::Ok, 0), (130 * SECOND, 0));
}

#[test]
fn a_new_checker_starts_anew_and_a_run_of_the_old_one_says_nothing_about_it() {
    let mut table = with(exact().for_subject(0));
    for _ in 0..4 {
        next_run(&mut table, CRASH, 100);
    }
    let now = 51 * SECOND;
    assert_eq!(table.next_due_ms(), Some(90 * SECOND));
    let old = table.start_now(&name("web"), now).unwrap();
    table.set(&name("web"), exact().for_subject(1), now);
    assert_eq!(table.next_due_ms(), Some(60 * SECOND));
    end(&mut table, &old, CRASH, now + 1);
    assert_eq!(table.next_due_ms(), Some(60 * SECOND));
    let due = table.take_due(60 * SECOND).pop().unwrap();
    assert!(!due.course.health().is_failing());
    assert_eq!(due.course.attempt(), 5, "the check is as not ok as before");
}

#[test]
fn what_an_old_checker_did_is_forgotten() {
    let mut table = with(exact().for_subject(0));
    for _ in 0..4 {
        next_run(&mut table, CRASH, 100);
    }
    table.set(&name("web"), exact().for_subject(1), 51 * SECOND);
    let due = table.take_due(60 * SECOND).pop().unwrap();
    assert_eq!(due.course.health(), crate::schedule::health::Health::default());
    assert_eq!(due.course.attempt(), 4, "the check is as not ok as before");
}

#[test]
fn the_outlook_has_every_check_with_its_next_run() {
    let mut table = with(exact());
    let due = table.take_due(10 * SECOND).pop().unwrap();
    let outlook = table.outlook(12 * SECOND);
    assert_eq!(
        outlook,
        [Outlook {
            check: name("web"),
            next_in_ms: Some(8 * SECOND),
            running: true
        }]
    );
    end(&mut table, &due, Outcome::Ok, 12 * SECOND);
    assert!(!table.outlook(12 * SECOND)[0].running);
}

proptest! {
    #[test]
    fn no_check_ever_runs_twice_at_once(steps in proptest::collection::vec((0u64..20_000, any::<bool>()), 1..100)) {
        let mut table = with(plan("web"));
        let (mut now, mut running) = (0, false);
        for (step, finish) in steps {
            now += step;
            if finish {
                table.finished(&name("web"), None, now);
                running = false;
            }
            let runs = table.take_due(now);
            prop_assert!(runs.len() <= 1);
            prop_assert!(!(running && runs.len() == 1));
            running |= runs.len() == 1;
        }
    }

    /// Time jumps as it likes: a machine sleeps, a runtime stalls, crashes put runs apart.
    #[test]
    fn no_two_runs_are_closer_than_the_interval_minus_jitter_and_lateness(
        steps in proptest::collection::vec((0u64..40_000, 0u64..3_000, any::<bool>()), 1..200),
        jitter in 0u64..5_000,
    ) {
        let interval = 10 * SECOND;
        let plan =
            Plan::new("a", "web", Duration::from_millis(interval), Duration::from_millis(jitter));
        let mut table = with(plan);
        let mut last: Option<(u64, u64)> = None;
        let mut now = 0;
        for (jump, takes, crashes) in steps {
            // Either the time of the next turn, or a jump past it.
            now = if jump < 20_000 { table.next_due_ms().unwrap().max(now) } else { now + jump };
            for due in table.take_due(now) {
                prop_assert!(due.late_ms < interval);
                if let Some((at, late)) = last {
                    prop_assert!(now - at >= (interval - jitter).saturating_sub(late), "{} after {}", now, at);
                    prop_assert!(now - at >= interval / 2 - jitter);
                }
                last = Some((now, due.late_ms));
                end(&mut table, &due, if crashes { CRASH } else { Outcome::Ok }, now + takes);
            }
        }
    }

    #[test]
    fn retries_keep_their_distance_whatever_comes_of_them(
        steps in proptest::collection::vec((0u64..5_000, 0u64..12_000, any::<bool>()), 1..100),
        attempts in 1u32..6,
    ) {
        let mut table = with(retried(attempts));
        let (mut now, mut in_row) = (0, 0);
        let mut last: Option<u64> = None;
        for (late, takes, ok) in steps {
            now = table.next_due_ms().unwrap().max(now) + late;
            for due in table.take_due(now) {
                if let Some(last) = last {
                    prop_assert!(now - last >= 2 * SECOND, "{} after {}", now, last);
                }
                last = Some(now);
                in_row = if ok { 0 } else { in_row + 1 };
                now += takes;
                end(&mut table, &due, if ok { Outcome::Ok } else { Outcome::NotOk }, now);
                let is_soft = in_row > 0 && in_row < attempts;
                // From the end of a soft result's run, or at a turn that comes first.
                let next = table.next_due_ms().unwrap();
                prop_assert!(!is_soft || next <= now + 2 * SECOND, "{} at {}", next, now);
            }
        }
    }

    #[test]
    fn every_turn_is_either_run_or_reported_as_skipped(
        steps in proptest::collection::vec((0u64..60_000, 0u64..30_000, any::<bool>()), 1..100),
    ) {
        let plan = exact();
        let mut table = with(plan.clone());
        let (mut now, mut runs, mut skipped) = (0, 0, 0);
        for (jump, takes, crashes) in steps {
            now += jump;
            for due in table.take_due(now) {
                runs += 1;
                skipped += u64::from(due.skipped);
                now += takes;
                table.take_due(now);
                end(&mut table, &due, if crashes { CRASH } else { Outcome::Ok }, now);
            }
        }
        // The next run tells the rest.
        let at = table.next_due_ms().unwrap();
        let due = table.take_due(at);
        prop_assert_eq!(due.len(), 1);
        runs += 1;
        skipped += u64::from(due[0].skipped);
        prop_assert_eq!(runs + skipped, plan.turns_between(0, at, 0));
    }
}
