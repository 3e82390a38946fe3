//! From names to addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name doesn't exist, or has no address.
    #[error("{name} has no address: {reason}")]
    NoAddress {
        /// The name.
        name: String,
        /// In the resolver's words.
        reason: String,
    },
    /// Nobody answered in time.
    #[error("no answer about {name} within {within:?}")]
    Timeout {
        /// The name.
        name: String,
        /// How long was waited.
        within: Duration,
    },
}

/// Who answers look-ups of names. Asked only for names that the check's grants allow.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a name, best first; never empty.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;
}

/// Look-ups that may be under way at once: each holds a thread until the system's resolver gives up.
const CONCURRENT: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);

/// The system's resolver (`getaddrinfo`), with its files, order and search rules.
#[derive(Clone)]
pub struct SystemResolver {
    places: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(CONCURRENT)),
        }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let no_address = |reason: String| ResolveError::NoAddress {
            name: name.to_owned(),
            reason,
        };
        let lookup = async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let asked = name.to_owned();
            // The place is held by the look-up itself: it goes on when the run that asked is gone.
            let answer = tokio::spawn(async move {
                let _place = place;
                tokio::net::lookup_host((asked.as_str(), 0))
                    .await
                    .map(Iterator::collect::<Vec<_>>)
            });
            answer.await
        };
        let answer = tokio::time::timeout(PATIENCE, lookup)
            .await
            .map_err(|_| ResolveError::Timeout {
                name: name.to_owned(),
                within: PATIENCE,
            })?
            .map_err(|error| no_address(error.to_string()))?
            .map_err(|error| no_address(error.to_string()))?;
        let mut addresses = Vec::new();
        for address in answer {
            let address = address.ip().to_canonical();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            Err(no_address("an empty answer".to_owned()))
        } else {
            Ok(addresses)
        }
    }
}
