//! `log`, `state` and `secret`.

use super::View;
use crate::bindings::picket::checker::{log, secret, state};
use crate::host::secret::Refusal;
use crate::host::state::CallError;
use crate::run::LogLevel;

impl log::Host for View<'_> {
    fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) {
        self.0.guard.count_call();
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.0.logs.push(level, message, fields);
    }
}

fn state_error(error: CallError) -> state::Error {
    match error {
        CallError::TooLarge => state::Error::TooLarge,
        CallError::Unavailable => state::Error::Unavailable,
    }
}

impl state::Host for View<'_> {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, state::Error> {
        self.0.guard.count_call();
        self.0.state.get(&key).await.map_err(state_error)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), state::Error> {
        self.0.guard.count_call();
        self.0.state.set(key, value).await.map_err(state_error)
    }

    async fn delete(&mut self, key: String) -> Result<(), state::Error> {
        self.0.guard.count_call();
        self.0.state.delete(&key).await.map_err(state_error)
    }
}

fn secret_error(refusal: &Refusal) -> secret::Error {
    match refusal {
        Refusal::Denied(_) => secret::Error::Denied,
        Refusal::Missing(_) => secret::Error::Missing,
    }
}

impl secret::Host for View<'_> {
    async fn check(&mut self, name: String) -> Result<(), secret::Error> {
        self.0.guard.count_call();
        self.0
            .secrets
            .using(&name)
            .await
            .map(|_| ())
            .map_err(|refusal| secret_error(&refusal))
    }

    async fn reveal(&mut self, name: String) -> Result<Vec<u8>, secret::Error> {
        self.0.guard.count_call();
        let found = self.0.secrets.reveal(&name).await;
        found
            .map(|secret| secret.expose().to_vec())
            .map_err(|refusal| secret_error(&refusal))
    }
}
