//! Which checks are due, running, and skipped: the scheduler's state, with time passed in.

use std::collections::{BTreeMap, BTreeSet};

use picket_identity::name::CheckName;

use super::plan::Plan;

#[derive(Debug)]
struct Entry {
    plan: Plan,
    due_ms: u64,
    running: bool,
    /// No longer wanted, but its last run is still under way: should it come back, the two may not overlap.
    gone: bool,
    skipped: u32,
}

/// A run that must start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which check.
    pub check: CheckName,
    /// How long ago it was due.
    pub late_ms: u64,
    /// Runs that were skipped since the last one.
    pub skipped: u32,
}

/// Why a check doesn't run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such check.
    Unknown,
    /// It is running.
    Running,
}

/// Every scheduled check.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<CheckName, Entry>,
    queue: BTreeSet<(u64, CheckName)>,
}

impl Table {
    /// Adds a check, or gives it another plan. A check whose plan is the same isn't touched.
    pub fn set(&mut self, check: &CheckName, plan: Plan, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(check) {
            if entry.plan == plan && !entry.gone {
                return;
            }
            entry.gone = false;
            self.queue.remove(&(entry.due_ms, check.clone()));
            entry.due_ms = plan.next_after(now_ms);
            entry.plan = plan;
            self.queue.insert((entry.due_ms, check.clone()));
            return;
        }
        let due_ms = plan.next_after(now_ms);
        self.queue.insert((due_ms, check.clone()));
        self.entries.insert(
            check.clone(),
            Entry {
                plan,
                due_ms,
                running: false,
                gone: false,
                skipped: 0,
            },
        );
    }

    /// Removes every check that isn't wanted any more. Runs under way end by themselves.
    pub fn retain(&mut self, wanted: impl Fn(&CheckName) -> bool) {
        self.entries.retain(|check, entry| {
            entry.gone |= !wanted(check);
            !entry.gone || entry.running
        });
        self.queue.retain(|(_, check)| wanted(check));
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        self.queue.first().map(|(due_ms, _)| *due_ms)
    }

    /// The runs that must start now. However long nobody asked, each check runs at most once: there is no burst after a
    /// pause. A check that still runs is skipped.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<Due> {
        let mut runs = Vec::new();
        while let Some((due_ms, check)) = self.queue.first().cloned() {
            if due_ms > now_ms {
                break;
            }
            self.queue.pop_first();
            let Some(entry) = self.entries.get_mut(&check) else {
                continue;
            };
            // Whole turns that passed unseen are runs that didn't happen.
            let missed = (now_ms - due_ms) / entry.plan.interval_ms();
            entry.skipped = entry
                .skipped
                .saturating_add(u32::try_from(missed).unwrap_or(u32::MAX));
            entry.due_ms = entry.plan.next_after(now_ms);
            self.queue.insert((entry.due_ms, check.clone()));
            if entry.running {
                entry.skipped = entry.skipped.saturating_add(1);
                continue;
            }
            entry.running = true;
            runs.push(Due {
                check,
                late_ms: now_ms - due_ms,
                skipped: std::mem::take(&mut entry.skipped),
            });
        }
        runs
    }

    /// Starts a check out of its turn; its turns stay as they are.
    ///
    /// # Errors
    /// There is no such check, or it is running.
    pub fn start_now(&mut self, check: &CheckName) -> Result<Due, Refused> {
        let entry = self
            .entries
            .get_mut(check)
            .filter(|entry| !entry.gone)
            .ok_or(Refused::Unknown)?;
        if entry.running {
            return Err(Refused::Running);
        }
        entry.running = true;
        Ok(Due {
            check: check.clone(),
            late_ms: 0,
            skipped: std::mem::take(&mut entry.skipped),
        })
    }

    /// A run has ended.
    pub fn finished(&mut self, check: &CheckName) {
        if let Some(entry) = self.entries.get_mut(check) {
            entry.running = false;
            if entry.gone {
                self.entries.remove(check);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> CheckName {
        text.parse().unwrap()
    }

    fn plan(check: &str) -> Plan {
        Plan::new("a", check, Duration::from_secs(10), Duration::from_secs(1))
    }

    #[test]
    fn a_check_that_still_runs_is_skipped_and_the_next_run_says_so() {
        let mut table = Table::default();
        table.set(&name("web"), plan("web"), 0);
        let mut now = table.next_due_ms().unwrap();
        assert_eq!(table.take_due(now).len(), 1);
        for _ in 0..3 {
            now = table.next_due_ms().unwrap();
            assert_eq!(table.take_due(now), []);
        }
        table.finished(&name("web"));
        now = table.next_due_ms().unwrap();
        assert_eq!(
            table.take_due(now),
            [Due {
                check: name("web"),
                late_ms: 0,
                skipped: 3
            }]
        );
    }

    #[test]
    fn after_a_pause_each_check_runs_once() {
        let mut table = Table::default();
        for n in 0..20 {
            let check = format!("c{n}");
            table.set(&name(&check), plan(&check), 0);
        }
        let runs = table.take_due(3_600_000);
        assert_eq!(runs.len(), 20);
        assert!(
            runs.iter().all(|run| run.skipped >= 357 && run.skipped <= 360),
            "{runs:?}"
        );
        assert_eq!(table.take_due(3_600_000), []);
    }

    #[test]
    fn a_run_out_of_turn_never_overlaps_and_leaves_the_turns_alone() {
        let mut table = Table::default();
        table.set(&name("web"), plan("web"), 0);
        let due = table.next_due_ms();
        assert!(table.start_now(&name("web")).is_ok());
        assert_eq!(table.start_now(&name("web")), Err(Refused::Running));
        assert_eq!(table.start_now(&name("dns")), Err(Refused::Unknown));
        assert_eq!(table.next_due_ms(), due);
    }

    #[test]
    fn a_check_that_is_removed_and_comes_back_doesnt_overlap_its_last_run() {
        let mut table = Table::default();
        table.set(&name("web"), plan("web"), 0);
        table.start_now(&name("web")).unwrap();
        table.retain(|_| false);
        assert_eq!(table.start_now(&name("web")), Err(Refused::Unknown));
        table.set(&name("web"), plan("web"), 0);
        assert_eq!(table.start_now(&name("web")), Err(Refused::Running));
        table.finished(&name("web"));
        assert!(table.start_now(&name("web")).is_ok());
    }

    #[test]
    fn the_same_plan_again_changes_nothing() {
        let mut table = Table::default();
        table.set(&name("web"), plan("web"), 0);
        let due = table.next_due_ms();
        table.set(&name("web"), plan("web"), due.unwrap() + 5);
        assert_eq!(table.next_due_ms(), due);
    }

    proptest! {
        #[test]
        fn no_check_ever_runs_twice_at_once(steps in proptest::collection::vec((0u64..20_000, any::<bool>()), 1..100)) {
            let mut table = Table::default();
            table.set(&name("web"), plan("web"), 0);
            let (mut now, mut running) = (0, false);
            for (step, finish) in steps {
                now += step;
                if finish {
                    table.finished(&name("web"));
                    running = false;
                }
                let runs = table.take_due(now);
                prop_assert!(runs.len() <= 1);
                prop_assert!(!(running && runs.len() == 1));
                running |= runs.len() == 1;
            }
        }
    }
}
