//! Which checks are due, running, and skipped: the scheduler's state, with time passed in.

use std::collections::{BTreeMap, BTreeSet};

use picket_identity::name::CheckName;

use super::course::{Course, Next, Retries};
use super::plan::Plan;

/// A wall clock that moved by less than this is a clock that is kept right, not one that was put right.
const SKEW_MS: u64 = 1_000;

#[derive(Debug)]
struct Entry {
    plan: Plan,
    /// When it is due, and in `queue`; `None` where it never is again.
    due_ms: Option<u64>,
    due_for: DueFor,
    running: bool,
    /// When its newest run started.
    started_ms: u64,
    /// No longer wanted, but its last run is still under way: should it come back, the two may not overlap.
    gone: bool,
    skipped: u32,
    course: Course,
}

/// Why a check is due when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DueFor {
    Turn,
    Retry,
    /// Its checker crashes: the turns after `since_ms` are left out.
    Apart {
        since_ms: u64,
    },
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
    /// Where the check stands before this run.
    pub course: Course,
    /// What becomes of a result that isn't ok.
    pub retries: Retries,
    /// From this run to the next turn's, in ms.
    pub period_ms: u64,
    /// What is run, as [`Plan::subject`] has it.
    pub subject: u64,
}

/// How things stand with one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Which check.
    pub check: CheckName,
    /// How long it is until its next run, in ms; `None` where there is none.
    pub next_in_ms: Option<u64>,
    /// Whether it runs, or waits for a place to run in.
    pub running: bool,
}

/// Why a check doesn't run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such check.
    Unknown,
    /// It is running.
    Running,
    /// The agent is shutting down.
    Stopping,
}

/// Every scheduled check.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<CheckName, Entry>,
    queue: BTreeSet<(u64, CheckName)>,
    /// What the wall clock shows beyond the line of `now_ms`.
    skew_ms: i64,
}

impl Table {
    /// Adds a check, or gives it another plan. A check whose plan is the same isn't touched; one whose checker or
    /// configuration changed keeps its turns, and what its old checker did is forgotten.
    pub fn set(&mut self, check: &CheckName, plan: Plan, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(check) else {
            let due_ms = plan.next_after(now_ms, self.skew_ms);
            let entry = Entry {
                plan,
                due_ms: None,
                due_for: DueFor::Turn,
                running: false,
                started_ms: now_ms,
                gone: false,
                skipped: 0,
                course: Course::default(),
            };
            self.entries.insert(check.clone(), entry);
            self.put(check, due_ms, DueFor::Turn);
            return;
        };
        if entry.plan == plan && !entry.gone {
            return;
        }
        if entry.plan.subject() != plan.subject() {
            entry.course = entry.course.with_new_checker();
        }
        let keeps_turn =
            !entry.gone && entry.plan.has_turns_of(&plan) && !matches!(entry.due_for, DueFor::Apart { .. });
        entry.gone = false;
        entry.plan = plan;
        if !keeps_turn {
            let due_ms = entry.plan.next_after(now_ms, self.skew_ms);
            self.put(check, due_ms, DueFor::Turn);
        }
    }

    /// Removes every check that isn't wanted any more. Runs under way end by themselves.
    pub fn retain(&mut self, wanted: impl Fn(&CheckName) -> bool) {
        self.entries.retain(|check, entry| {
            entry.gone |= !wanted(check);
            !entry.gone || entry.running
        });
        self.queue.retain(|(_, check)| wanted(check));
    }

    /// Tells what the wall clock shows beyond the line. Where it was put right, crons come at their times again.
    pub fn set_skew(&mut self, skew_ms: i64, now_ms: u64) {
        if self.skew_ms.abs_diff(skew_ms) < SKEW_MS {
            return;
        }
        self.skew_ms = skew_ms;
        let moved: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| {
                !entry.gone && entry.due_for == DueFor::Turn && entry.plan.follows_wall_clock()
            })
            .map(|(check, entry)| (check.clone(), entry.plan.next_after(now_ms, skew_ms)))
            .collect();
        for (check, due_ms) in moved {
            self.put(&check, due_ms, DueFor::Turn);
        }
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        self.queue.first().map(|(due_ms, _)| *due_ms)
    }

    /// The runs that must start now. A check that still runs is skipped. However long nobody asked, each check runs at most
    /// once, and one that missed a whole interval waits for its next turn: after a pause there is no burst.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<Due> {
        let mut runs = Vec::new();
        while let Some((due_ms, check)) = self.queue.first().cloned() {
            if due_ms > now_ms {
                break;
            }
            self.queue.pop_first();
            let skew_ms = self.skew_ms;
            let Some(entry) = self.entries.get_mut(&check) else {
                continue;
            };
            let late_ms = now_ms - due_ms;
            // Whole turns that passed unseen, or were left out, are runs that didn't happen.
            entry.skip(entry.plan.turns_between(due_ms, now_ms, skew_ms));
            if let DueFor::Apart { since_ms } = entry.due_for {
                // The one that is due now isn't left out.
                let left_out = entry.plan.turns_between(since_ms, due_ms, skew_ms);
                entry.skip(left_out.saturating_sub(1));
            }
            let from_ms = match entry.due_for {
                DueFor::Retry => now_ms + entry.plan.retries().interval_ms.unwrap_or(0),
                DueFor::Turn | DueFor::Apart { .. } => now_ms,
            };
            let period_ms = entry.plan.period_ms(due_ms, skew_ms);
            let mut next_ms = entry.plan.next_after(from_ms, skew_ms);
            if entry.running || late_ms >= period_ms {
                entry.skip(1);
            } else {
                runs.push(entry.start(&check, now_ms, late_ms, period_ms));
                if late_ms > period_ms / 2 && !entry.plan.follows_wall_clock() {
                    // So late that the next turn is near: this run is that one's as well.
                    let far_ms = now_ms + period_ms / 2;
                    entry.skip(entry.plan.turns_between(now_ms, far_ms, skew_ms));
                    next_ms = entry.plan.next_after(far_ms, skew_ms);
                }
            }
            self.put(&check, next_ms, DueFor::Turn);
        }
        runs
    }

    /// Starts a check out of its turn; its turns stay as they are.
    ///
    /// # Errors
    /// There is no such check, or it is running.
    pub fn start_now(&mut self, check: &CheckName, now_ms: u64) -> Result<Due, Refused> {
        let skew_ms = self.skew_ms;
        let entry = self
            .entries
            .get_mut(check)
            .filter(|entry| !entry.gone)
            .ok_or(Refused::Unknown)?;
        if entry.running {
            return Err(Refused::Running);
        }
        if let DueFor::Apart { since_ms } = entry.due_for {
            entry.skip(entry.plan.turns_between(since_ms, now_ms, skew_ms));
        }
        let period_ms = entry.plan.period_ms(now_ms, skew_ms);
        let due = entry.start(check, now_ms, 0, period_ms);
        if entry.due_for != DueFor::Turn {
            // What comes after this run is decided when it ends.
            let due_ms = entry.plan.next_after(now_ms, skew_ms);
            self.put(check, due_ms, DueFor::Turn);
        }
        Ok(due)
    }

    /// A run has ended, and left its check there; `None` where nothing came of it.
    pub fn finished(&mut self, check: &CheckName, ran: Option<(u64, Course)>, now_ms: u64) {
        let skew_ms = self.skew_ms;
        let Some(entry) = self.entries.get_mut(check) else {
            return;
        };
        entry.running = false;
        if entry.gone {
            self.entries.remove(check);
            return;
        }
        let Some((subject, course)) = ran else {
            return;
        };
        entry.course = if subject == entry.plan.subject() {
            course
        } else {
            course.with_new_checker()
        };
        let period_ms = entry.plan.period_ms(entry.started_ms, skew_ms);
        match entry.course.next(entry.plan.retries(), period_ms) {
            Next::Turn => {}
            Next::RetryIn(millis) => {
                let retry_ms = now_ms + millis;
                // A turn that comes first is the retry.
                if entry.due_ms.is_none_or(|turn_ms| retry_ms < turn_ms) {
                    self.put(check, Some(retry_ms), DueFor::Retry);
                }
            }
            Next::Apart(millis) => {
                // A turn within half a period of it will do: turns differ by their jitter.
                let from_ms = (entry.started_ms + millis.saturating_sub(period_ms / 2)).max(now_ms);
                let due_ms = entry.plan.next_after(from_ms, skew_ms);
                // The turn that would be next is the first that is left out; those before it are counted.
                let since_ms = entry.due_ms.map_or(now_ms, |turn_ms| turn_ms.saturating_sub(1));
                self.put(check, due_ms, DueFor::Apart { since_ms });
            }
        }
    }

    /// How things stand, check by check.
    #[must_use]
    pub fn outlook(&self, now_ms: u64) -> Vec<Outlook> {
        self.entries
            .iter()
            .filter(|(_, entry)| !entry.gone)
            .map(|(check, entry)| Outlook {
                check: check.clone(),
                next_in_ms: entry.due_ms.map(|due_ms| due_ms.saturating_sub(now_ms)),
                running: entry.running,
            })
            .collect()
    }

    fn put(&mut self, check: &CheckName, due_ms: Option<u64>, due_for: DueFor) {
        let Some(entry) = self.entries.get_mut(check) else {
            return;
        };
        if let Some(before_ms) = entry.due_ms {
            self.queue.remove(&(before_ms, check.clone()));
        }
        entry.due_ms = due_ms;
        entry.due_for = due_for;
        if let Some(due_ms) = due_ms {
            self.queue.insert((due_ms, check.clone()));
        }
    }
}

impl Entry {
    fn skip(&mut self, turns: u64) {
        self.skipped = self
            .skipped
            .saturating_add(u32::try_from(turns).unwrap_or(u32::MAX));
    }

    fn start(&mut self, check: &CheckName, now_ms: u64, late_ms: u64, period_ms: u64) -> Due {
        self.running = true;
        self.started_ms = now_ms;
        Due {
            check: check.clone(),
            late_ms,
            skipped: std::mem::take(&mut self.skipped),
            course: self.course,
            retries: self.plan.retries(),
            period_ms,
            subject: self.plan.subject(),
        }
    }
}

#[cfg(test)]
mod tests;
