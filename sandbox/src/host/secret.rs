//! `picket:checker/secret`: secrets by reference, so that most checkers never see one.
//!
//! What the host can't keep is what a server makes of a secret: one that echoes the headers that it gets shows them to the
//! checker. A check's grants are to name no other hosts than those that the secret is for.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::grant::Denied;
use crate::net::guard::Guard;

/// The bytes of a secret. Its `Debug` shows only the length.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Best effort: what the allocator or a grown vector left behind isn't reached.
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

/// Why a source didn't answer.
#[derive(Debug, thiserror::Error)]
#[error("secret {name}: {reason}")]
pub struct SecretError {
    /// Which secret.
    pub name: String,
    /// What went wrong; never the secret itself.
    pub reason: String,
}

/// Where secrets come from. Asked only for names that the check's grants allow.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The secret of that name, `None` where there is none.
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretError>;
}

/// A source without secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

#[async_trait]
impl SecretSource for NoSecrets {
    async fn get(&self, _name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(None)
    }
}

/// Why a checker gets no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("the secret {0} is granted, but this host has none of that name")]
    Missing(String),
}

/// One run's view: grants first, then the source.
pub(crate) struct SecretView {
    guard: Arc<Guard>,
    source: Arc<dyn SecretSource>,
}

impl SecretView {
    pub(crate) fn new(guard: Arc<Guard>, source: Arc<dyn SecretSource>) -> Self {
        Self { guard, source }
    }

    /// For the host's own use on behalf of the checker.
    pub(crate) async fn using(&self, name: &str) -> Result<Secret, Refusal> {
        self.guard.note(self.guard.grants().allows_secret(name))?;
        self.fetch(name).await
    }

    /// For the checker's eyes.
    pub(crate) async fn reveal(&self, name: &str) -> Result<Secret, Refusal> {
        self.guard.note(self.guard.grants().allows_reveal(name))?;
        self.fetch(name).await
    }

    async fn fetch(&self, name: &str) -> Result<Secret, Refusal> {
        let found = self.source.get(name).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a secret can't be read");
            None
        });
        found.ok_or_else(|| Refusal::Missing(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_a_secret() {
        assert_eq!(
            format!("{:?}", Secret::new(b"hunter2".to_vec())),
            "Secret(7 bytes)"
        );
    }
}
