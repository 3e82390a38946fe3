//! What `agent-host enroll` says while it waits. On stderr: stdout has the outcome only.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use picket_identity::spiffe::SpiffeId;

use super::super::output;
use crate::enrollment::Event;
use crate::exchange::failure::Origin;

/// Where it listens, for whom it waits, until when.
pub(super) fn waiting(
    id: &SpiffeId,
    listens: SocketAddr,
    runs_out_ms: i64,
    timeout: Option<Duration>,
    roots: &[String],
) -> io::Result<()> {
    let mut talk = io::stderr().lock();
    writeln!(talk, "enrolling {id}")?;
    for root in roots {
        writeln!(talk, "the platform's root certificate: SHA-256 {root}")?;
    }
    let within = timeout.map(|time| format!(", at most {}", humantime::format_duration(time)));
    writeln!(
        talk,
        "listening on {listens} for a gateway of this platform{}; the file is good until {}",
        within.unwrap_or_default(),
        output::time(runs_out_ms)
    )
}

/// What happens while it waits.
pub(super) fn tell(event: &Event<'_>) {
    // Nothing is left to tell it to if stderr is gone.
    let _ = write(event);
}

fn write(event: &Event<'_>) -> io::Result<()> {
    let mut talk = io::stderr().lock();
    match event {
        Event::Refused { peer, refusal } => writeln!(
            talk,
            "refused a connection from {peer}: {} (expected {}, got {}); still waiting",
            refusal.reason.as_str(),
            refusal.expected,
            refusal.got
        ),
        Event::Failed {
            gateway,
            id,
            failure,
            origin,
        } => {
            let found_by = match origin {
                Origin::Agent => "here",
                Origin::Gateway => "at the gateway or the platform",
            };
            writeln!(
                talk,
                "attempt {id} of {gateway} failed {found_by}, step {}: {}: {}\n  what to do: {}\n  still waiting",
                failure.step.as_str(),
                failure.cause.as_str(),
                failure.detail,
                failure.cause.advice()
            )
        }
    }
}

/// The file holds a secret.
pub(super) fn warn_where_open(path: &Path, file: &File) -> io::Result<()> {
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    writeln!(
        io::stderr().lock(),
        "warning: {} has mode {mode:04o}, so others can read it, and whoever reads it can enrol in this agent's place; it \
         should come with mode 0600",
        path.display()
    )
}
