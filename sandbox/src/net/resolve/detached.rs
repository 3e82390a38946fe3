//! Look-ups that nobody can take back: `getaddrinfo` holds a thread until the system's resolver gives up, whether or not
//! anybody still waits. So places are held by the look-ups themselves, and each check has a share of them: one that begins
//! many and leaves them would otherwise take all that there are, run after run.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Look-ups that may be under way at once.
const ALL: usize = 64;
/// Those of one check.
const OF_ONE: usize = 8;

/// The places of look-ups.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// A check that has no look-up under way isn't in it.
    of_each: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            of_each: Mutex::default(),
        }
    }
}

impl Places {
    fn of(&self, check: &str) -> Arc<Semaphore> {
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = of_each.get(check).and_then(Weak::upgrade) {
            return places;
        }
        of_each.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(OF_ONE));
        of_each.insert(check.to_owned(), Arc::downgrade(&places));
        places
    }

    /// Looks up for a check once there is a place, and keeps the place until the look-up is over. Whoever waits may go.
    pub(super) async fn look_up<F>(&self, check: &str, lookup: F) -> io::Result<Vec<IpAddr>>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        // Closed never: both live as long as somebody has them.
        let own = self.of(check).acquire_owned().await;
        let place = Arc::clone(&self.all).acquire_owned().await;
        let detached = tokio::spawn(async move {
            let _places = (own, place);
            lookup.await
        });
        detached.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_check_that_leaves_look_ups_behind_takes_its_own_places_only() {
        let asked = Arc::new(AtomicUsize::new(0));
        let silent = || {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
        };
        let places = Places::default();
        // Runs that end while their look-ups are under way.
        for _ in 0..ALL * 2 {
            let lookup = places.look_up("hostile", silent());
            let _ = tokio::time::timeout(Duration::from_millis(1), lookup).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), OF_ONE);
        let lookup = places.look_up("honest", async { Ok(vec![IpAddr::from([10, 0, 0, 1])]) });
        let found = tokio::time::timeout(Duration::from_secs(10), lookup).await;
        assert_eq!(found.unwrap().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_check_whose_look_ups_are_over_has_its_places_again_and_is_forgotten() {
        let places = Places::default();
        for check in 0..100 {
            for _ in 0..OF_ONE * 2 {
                let nothing = async { Ok(Vec::new()) };
                places.look_up(&format!("check-{check}"), nothing).await.unwrap();
            }
        }
        assert!(places.of_each.lock().unwrap().len() <= 2);
    }
}
