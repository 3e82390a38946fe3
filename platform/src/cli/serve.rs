//! `platform serve`.

use std::net::SocketAddr;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::Serve;
use super::{CliError, output};
use crate::app::{App, Running};
use crate::config::Config;
use crate::store;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`CliError`].
pub async fn run(arguments: &Serve) -> Result<(), CliError> {
    // Before anything else: a signal during the start must end it in order too.
    let failed = |error: std::io::Error| CliError::Runtime(format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let config = Config::load(&arguments.at.config)?;
    let running = App::start(&config).await?;
    let announced = announce(&config, &running, arguments.ready_file.as_deref()).await;
    if announced.is_ok() {
        tokio::select! {
            _signal = terminate.recv() => {}
            _signal = interrupt.recv() => {}
        }
    }
    running.shutdown().await;
    announced
}

async fn announce(config: &Config, running: &Running, ready_file: Option<&Path>) -> Result<(), CliError> {
    output::line(&url(config, running))?;
    let mut write = running.services.store.write().await?;
    let now = write.now();
    let is_first = store::installation::mark_first_served(&mut write, now).await?;
    write.commit().await?;
    if is_first {
        let token = store::auth::create_signin_token(&running.services.store).await?;
        output::line(&format!(
            "sign in once, within 15 minutes, with the token {}",
            token.reveal()
        ))?;
    }
    if let Some(path) = ready_file {
        write_ready(path, running.grpc, running.web)?;
    }
    Ok(())
}

/// The address for a browser on this machine, or by the first name that is no loopback one.
fn url(config: &Config, running: &Running) -> String {
    let scheme = if running.https { "https" } else { "http" };
    let local = ["localhost", "127.0.0.1", "::1"];
    let remote = config
        .web
        .names
        .iter()
        .find(|name| !local.contains(&name.as_str()));
    let host = match remote.filter(|_| !running.web.ip().is_loopback()) {
        Some(name) => name.as_str(),
        None => config.web.names.first().map_or("localhost", String::as_str),
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    format!("{scheme}://{host}:{}/", running.web.port())
}

/// Writes the file whole or not at all: whoever waits for it reads it at once.
fn write_ready(path: &Path, grpc: SocketAddr, web: SocketAddr) -> Result<(), CliError> {
    let ready = serde_json::json!({
        "pid": std::process::id(),
        "addresses": { "grpc": grpc.to_string(), "web": web.to_string() },
    });
    output::replace(path, &format!("{ready}\n"))
}
