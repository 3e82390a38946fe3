//! From names to addresses.

mod detached;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use detached::Places;

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

    /// The same for a check, where it matters to the resolver who asks.
    async fn resolve_for(&self, _check: &str, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolve(name).await
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// The system's resolver (`getaddrinfo`), with its files, order and search rules.
#[derive(Clone, Default)]
pub struct SystemResolver {
    places: Arc<Places>,
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolve_for("", name).await
    }

    async fn resolve_for(&self, check: &str, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let no_address = |reason: String| ResolveError::NoAddress {
            name: name.to_owned(),
            reason,
        };
        let asked = name.to_owned();
        let lookup = self.places.look_up(check, async move {
            let answer = tokio::net::lookup_host((asked.as_str(), 0)).await?;
            Ok(answer.map(|address| address.ip()).collect())
        });
        let answer = tokio::time::timeout(PATIENCE, lookup)
            .await
            .map_err(|_| ResolveError::Timeout {
                name: name.to_owned(),
                within: PATIENCE,
            })?
            .map_err(|error| no_address(error.to_string()))?;
        let mut addresses = Vec::new();
        for address in answer {
            let address = address.to_canonical();
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
