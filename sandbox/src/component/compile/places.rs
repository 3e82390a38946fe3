//! How many compilers run at once: each may take its whole allowance of memory.

use std::sync::{Condvar, Mutex, PoisonError};

const MOST: usize = 4;

/// Places for compilers; threads wait for one.
#[derive(Debug)]
pub(super) struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Default for Places {
    /// One for each processor, up to four.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            free: Mutex::new(processors.min(MOST)),
            freed: Condvar::new(),
        }
    }
}

/// A place that is given back when it is dropped.
pub(super) struct Place<'a>(&'a Places);

impl Places {
    pub(super) fn take(&self) -> Place<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
