//! `picket:checker/state`: a small key-value store of one check.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

/// Bytes of keys and values together.
pub const MAX_TOTAL_BYTES: usize = 64 << 10;
/// Keys.
pub const MAX_KEYS: usize = 64;
/// Bytes of one key.
pub const MAX_KEY_BYTES: usize = 128;
/// Bytes of one value.
pub const MAX_VALUE_BYTES: usize = 16 << 10;

/// All that one check keeps.
pub type Values = BTreeMap<String, Vec<u8>>;

/// Why the store didn't answer.
#[derive(Debug, thiserror::Error)]
#[error("state of check {check}: {reason}")]
pub struct StateError {
    /// Whose state.
    pub check: String,
    /// What went wrong.
    pub reason: String,
}

/// Where the state of checks lives. The whole of one check's state is at most 64 KiB, so it is read and replaced whole.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// All values of a check; none for one that has none. Asked at most once a run, when a checker first uses `state`.
    async fn load(&self, check: &str) -> Result<Values, StateError>;

    /// Replaces all values of a check, all or nothing. Asked once, after a run that changed something has ended with
    /// a valid report or an error of the checker's own.
    async fn replace(&self, check: &str, values: Values) -> Result<(), StateError>;
}

/// A store that has nothing and keeps nothing: for `describe`, `needs`, and hosts without a disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoState;

#[async_trait]
impl StateStore for NoState {
    async fn load(&self, check: &str) -> Result<Values, StateError> {
        Err(StateError {
            check: check.to_owned(),
            reason: "this host keeps no state".to_owned(),
        })
    }

    async fn replace(&self, check: &str, _values: Values) -> Result<(), StateError> {
        Err(StateError {
            check: check.to_owned(),
            reason: "this host keeps no state".to_owned(),
        })
    }
}

/// Why a checker's call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallError {
    TooLarge,
    Unavailable,
}

/// One run's view: reads through, keeps writes to itself until they are committed.
pub(crate) struct StateView {
    check: String,
    store: Arc<dyn StateStore>,
    values: Option<Values>,
    changed: bool,
}

impl StateView {
    pub(crate) fn new(check: String, store: Arc<dyn StateStore>) -> Self {
        Self {
            check,
            store,
            values: None,
            changed: false,
        }
    }

    pub(crate) fn check(&self) -> &str {
        &self.check
    }

    async fn values(&mut self) -> Result<&mut Values, CallError> {
        if self.values.is_none() {
            let loaded = self.store.load(&self.check).await.map_err(|error| {
                tracing::debug!(%error, "state is unavailable");
                CallError::Unavailable
            })?;
            self.values = Some(loaded);
        }
        self.values.as_mut().ok_or(CallError::Unavailable)
    }

    pub(crate) async fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, CallError> {
        Ok(self.values().await?.get(key).cloned())
    }

    pub(crate) async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), CallError> {
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(CallError::TooLarge);
        }
        let values = self.values().await?;
        let others = values.iter().filter(|(other, _)| **other != key);
        let (keys, bytes) = others.fold((0, 0), |(keys, bytes), (k, v)| {
            (keys + 1, bytes + k.len() + v.len())
        });
        if keys + 1 > MAX_KEYS || bytes + key.len() + value.len() > MAX_TOTAL_BYTES {
            return Err(CallError::TooLarge);
        }
        values.insert(key, value);
        self.changed = true;
        Ok(())
    }

    pub(crate) async fn delete(&mut self, key: &str) -> Result<(), CallError> {
        let removed = self.values().await?.remove(key).is_some();
        self.changed |= removed;
        Ok(())
    }

    /// Writes what was changed. The caller decides whether the run ended so that it may.
    pub(crate) async fn commit(self) -> Result<(), StateError> {
        match self.values {
            Some(values) if self.changed => self.store.replace(&self.check, values).await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Memory(Mutex<Values>, Mutex<u32>);

    #[async_trait]
    impl StateStore for Memory {
        async fn load(&self, _check: &str) -> Result<Values, StateError> {
            Ok(self.0.lock().unwrap().clone())
        }

        async fn replace(&self, _check: &str, values: Values) -> Result<(), StateError> {
            *self.1.lock().unwrap() += 1;
            *self.0.lock().unwrap() = values;
            Ok(())
        }
    }

    fn view(store: &Arc<Memory>) -> StateView {
        StateView::new("web".to_owned(), Arc::clone(store) as Arc<dyn StateStore>)
    }

    #[tokio::test]
    async fn writes_are_seen_by_the_run_but_not_stored_until_committed() {
        let store = Arc::new(Memory::default());
        let mut state = view(&store);
        state.set("a".to_owned(), vec![1]).await.unwrap();
        assert_eq!(state.get("a").await.unwrap(), Some(vec![1]));
        assert!(store.0.lock().unwrap().is_empty());
        state.commit().await.unwrap();
        assert_eq!(store.0.lock().unwrap().get("a"), Some(&vec![1]));
    }

    #[tokio::test]
    async fn a_run_that_changes_nothing_writes_nothing() {
        let store = Arc::new(Memory::default());
        let mut state = view(&store);
        state.get("a").await.unwrap();
        state.delete("a").await.unwrap();
        state.commit().await.unwrap();
        assert_eq!(*store.1.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn each_limit_is_enforced() {
        let store = Arc::new(Memory::default());
        let mut state = view(&store);
        assert_eq!(state.set("k".repeat(129), vec![]).await, Err(CallError::TooLarge));
        assert_eq!(
            state.set("k".to_owned(), vec![0; (16 << 10) + 1]).await,
            Err(CallError::TooLarge)
        );
        for n in 0..3 {
            state.set(format!("big{n}"), vec![0; 16 << 10]).await.unwrap();
        }
        assert_eq!(
            state.set("big3".to_owned(), vec![0; 16 << 10]).await,
            Err(CallError::TooLarge)
        );
        for n in 0..61 {
            state.set(format!("k{n}"), vec![]).await.unwrap();
        }
        assert_eq!(
            state.set("one-more".to_owned(), vec![]).await,
            Err(CallError::TooLarge)
        );
        state
            .set("k1".to_owned(), vec![7])
            .await
            .expect("replacing a key isn't one more");
    }

    #[tokio::test]
    async fn a_host_without_state_says_unavailable() {
        let mut state = StateView::new("web".to_owned(), Arc::new(NoState));
        assert_eq!(state.get("a").await, Err(CallError::Unavailable));
    }
}
