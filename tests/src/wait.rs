//! Waiting for a thing, with a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Generous: a deadline is there to end a test that hangs, not to measure.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How often a thing that can't be subscribed to is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Asks until the answer is `Some`, and gives it back. What `ask` last failed with is in the error.
pub async fn until<T, F, Fut>(what: &str, ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    until_within(DEADLINE, what, ask).await
}

/// [`until`] with a deadline of its own.
pub async fn until_within<T, F, Fut>(deadline: Duration, what: &str, mut ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    let end = Instant::now() + deadline;
    loop {
        let answer = ask().await;
        match answer {
            Ok(Some(value)) => return Ok(value),
            answer if Instant::now() >= end => {
                let last = answer
                    .err()
                    .map_or_else(String::new, |error| format!("; at last: {error:#}"));
                bail!("waited {deadline:?} in vain for {what}{last}");
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
