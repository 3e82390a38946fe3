//! CPU time of a run, measured on whichever thread polls it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A run is polled by one thread at a time, so relaxed counters of the task's own are enough.
#[derive(Default)]
pub(crate) struct CpuMeter {
    /// Nanoseconds of polls that are over.
    spent: AtomicU64,
    /// The thread's CPU clock when the present poll began.
    poll_began: AtomicU64,
}

impl CpuMeter {
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// From inside the poll, with what it took so far.
    pub(crate) fn spent_in_poll(&self) -> Duration {
        let present = thread_cpu().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        self.spent() + Duration::from_nanos(present)
    }
}

fn thread_cpu() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// A future whose polls are metered.
pub(crate) struct Metered<F> {
    future: Pin<Box<F>>,
    meter: Arc<CpuMeter>,
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(future: F, meter: Arc<CpuMeter>) -> Self {
        Self {
            future: Box::pin(future),
            meter,
        }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_cpu();
        self.meter.poll_began.store(began, Ordering::Relaxed);
        let result = self.future.as_mut().poll(cx);
        let took = thread_cpu().saturating_sub(began);
        self.meter.spent.fetch_add(took, Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn computing_is_counted_and_sleeping_is_not() {
        let meter = Arc::new(CpuMeter::default());
        let sleep = tokio::time::sleep(Duration::from_millis(50));
        Metered::new(sleep, Arc::clone(&meter)).await;
        assert!(meter.spent() < Duration::from_millis(20), "{:?}", meter.spent());
        let seen = Arc::clone(&meter);
        let compute = async move {
            while seen.spent_in_poll() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
        };
        Metered::new(compute, Arc::clone(&meter)).await;
        assert!(meter.spent() >= Duration::from_millis(30));
    }
}
