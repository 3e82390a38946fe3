//! Waiting for a thing, with a deadline; never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Generous: the machine may be busy, and a test that passes doesn't wait for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let ends_at = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < ends_at, "waited {DEADLINE:?} in vain for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `holds`.
pub(crate) async fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(())).await;
}
