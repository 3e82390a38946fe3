//! Cron expressions and their slots. A slot is a time at which a schedule is due; it makes one job, on one node.

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use croner::Cron;

use super::NewJob;
use crate::clock::UnixMs;
use crate::store::{self, Store, StoreError};

/// Something that is done again and again.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Its name: the key of its last slot.
    pub name: &'static str,
    /// When: five fields, UTC.
    pub cron: &'static str,
    /// The queue of its jobs.
    pub queue: &'static str,
    /// The kind of its jobs.
    pub kind: &'static str,
}

/// Why a schedule can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Not a cron expression.
    #[error("schedule {name}: {cron:?} is no cron expression of five fields: {reason}")]
    Cron {
        /// The schedule.
        name: &'static str,
        /// What it says.
        cron: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Schedule {
    /// The newest slot that is due at `now`; `None` where there was none ever.
    ///
    /// # Errors
    /// [`ScheduleError::Cron`].
    pub fn newest_slot(&self, now: UnixMs) -> Result<Option<UnixMs>, ScheduleError> {
        let cron = Cron::from_str(self.cron).map_err(|error| ScheduleError::Cron {
            name: self.name,
            cron: self.cron,
            reason: error.to_string(),
        })?;
        let Some(now) = DateTime::<Utc>::from_timestamp_millis(now) else {
            return Ok(None);
        };
        Ok(cron
            .find_previous_occurrence(&now, true)
            .ok()
            .map(|slot| slot.timestamp() * 1000))
    }

    /// Makes the job of the newest slot, unless it, or a later one's, was made before by any node. Slots that passed
    /// while no node ran are not made up for: one job now does their work.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn make_due_job(&self, store: &Store) -> Result<bool, ScheduleError> {
        let Some(slot) = self.newest_slot(store.now().await?)? else {
            return Ok(false);
        };
        let taken = store::jobs::last_slot(&mut *store.read().await?, self.name).await?;
        if taken.is_some_and(|taken| taken >= slot) {
            return Ok(false);
        }
        let mut write = store.write().await?;
        if !store::jobs::take_slot(&mut write, self.name, slot).await? {
            return Ok(false);
        }
        let now = write.now();
        let job = NewJob {
            unique_key: Some(self.name),
            ..NewJob::new(self.queue, self.kind)
        };
        let made = super::enqueue(&mut write, &job, now).await?;
        write.commit().await?;
        Ok(made.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: Schedule = Schedule {
        name: "hourly",
        cron: "17 * * * *",
        queue: "q",
        kind: "k",
    };

    #[test]
    fn the_newest_slot_is_the_last_one_that_has_come() {
        let hour = 3_600_000;
        let minute = 60_000;
        assert_eq!(
            HOURLY.newest_slot(1000 * hour + 16 * minute).unwrap(),
            Some(999 * hour + 17 * minute)
        );
        assert_eq!(
            HOURLY.newest_slot(1000 * hour + 17 * minute).unwrap(),
            Some(1000 * hour + 17 * minute)
        );
        assert_eq!(
            HOURLY.newest_slot(1000 * hour + 59 * minute).unwrap(),
            Some(1000 * hour + 17 * minute)
        );
    }

    #[test]
    fn the_platforms_own_schedules_are_cron_expressions() {
        for schedule in super::super::schedules() {
            assert!(
                schedule.newest_slot(1_800_000_000_000).unwrap().is_some(),
                "{}",
                schedule.name
            );
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_an_error_with_its_text() {
        let broken = Schedule {
            cron: "every day",
            ..HOURLY
        };
        assert!(
            broken
                .newest_slot(0)
                .unwrap_err()
                .to_string()
                .contains("every day")
        );
    }
}
