//! `agent-host enroll`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::bundle;
use picket_identity::enrollment::{EnrollFile, Enrollment, fingerprint};
use picket_identity::verify::{self, unix_millis};
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{CliError, ConfigArg, output, run::listen_for};
use crate::app::{self, Addresses, StartError, ready};
use crate::config::AgentConfig;
use crate::enrollment::{Awaiting, Hear};
use crate::spool;

mod talk;

/// More than any enrolment file has.
const LARGEST_FILE: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `platform agent add` wrote: a secret, deleted once it was used
    #[arg(value_name = "NAME.enroll")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
    /// Enrol an agent anew that has a certificate already: with a file that `platform agent add --replace` wrote
    #[arg(long)]
    replace: bool,
    /// Give up after this time; without it, wait until a gateway comes or the file has run out
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// The SHA-256 of the platform's root certificate, from another source than the file; once for each root in it
    #[arg(long, value_name = "SHA256")]
    root_fingerprint: Vec<String>,
    /// Write a JSON file with the address once it listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Why waiting ended.
enum Ended {
    Signal,
    TimedOut(Duration),
    RanOut,
}

pub(super) async fn enroll(args: Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let enrollment = read(&args.file)?;
    compare_roots(&enrollment, &args.root_fingerprint)?;
    let id = enrollment.id().clone();
    refuse_where_enrolled(&config, &enrollment, args.replace)?;
    // Listened for before anything starts: an early signal ends the program in order, too.
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let listener = listen(&config).await?;
    let grpc = listener.local_addr().map_err(StartError::Threads)?;
    let roots: Vec<_> = enrollment
        .trust()
        .roots()
        .iter()
        .map(|root| fingerprint(root))
        .collect();
    let runs_out = unix_millis(enrollment.not_after());
    let hear: Hear = Arc::new(talk::tell);
    let awaiting = Awaiting::new(enrollment, &config.identity_dir, hear)?;
    talk::waiting(&id, grpc, runs_out, args.timeout, &roots)?;
    if let Some(path) = &args.ready_file {
        let addresses = Addresses { grpc, metrics: None };
        ready::write_file(path, &addresses).map_err(|source| io_error("write", path, source))?;
    }

    let stop = CancellationToken::new();
    let (ends, timeout) = (stop.clone(), args.timeout);
    let watching = async move {
        let ended = tokio::select! {
            _ = terminate.recv() => Ended::Signal,
            _ = interrupt.recv() => Ended::Signal,
            () = sleep_for(timeout) => Ended::TimedOut(timeout.unwrap_or_default()),
            () = until(runs_out) => Ended::RanOut,
        };
        ends.cancel();
        ended
    };
    let mut watching = std::pin::pin!(watching);
    let mut serving = std::pin::pin!(awaiting.serve(listener, stop));
    let ended = tokio::select! {
        served = &mut serving => return installed(served?, &args, &config, &id.to_string()),
        ended = &mut watching => ended,
    };
    // What was being installed at that very moment counts.
    if let Some(serial) = serving.await? {
        return installed(Some(serial), &args, &config, &id.to_string());
    }
    Err(match ended {
        Ended::Signal => CliError::NotEnrolled(format!(
            "interrupted before a gateway brought the certificate of {id}; run it again, {} is as it was",
            args.file.display()
        )),
        Ended::TimedOut(after) => CliError::NotEnrolled(format!(
            "no gateway brought the certificate of {id} within {}; see whether gateways reach {grpc}, and run it again",
            humantime::format_duration(after)
        )),
        Ended::RanOut => CliError::Refused(format!(
            "{} has run out before a gateway brought the certificate of {id}; have the platform's operator make another with \
             `platform agent add --replace`",
            args.file.display()
        )),
    })
}

fn read(path: &Path) -> Result<Enrollment, CliError> {
    let failed = |source| io_error("read", path, source);
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    talk::warn_where_open(path, &file)?;
    file.take(LARGEST_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let refuse = |source| CliError::EnrollFile {
        path: path.to_path_buf(),
        source: Box::new(source),
    };
    let file = EnrollFile::from_json(&text).map_err(refuse)?;
    file.verify(verify::now()).map_err(refuse)
}

/// Every root in the file has to be named: one that isn't could be somebody else's.
fn compare_roots(enrollment: &Enrollment, named: &[String]) -> Result<(), CliError> {
    if named.is_empty() {
        return Ok(());
    }
    let plain = |text: &String| text.replace([':', ' '], "").to_ascii_lowercase();
    let named: Vec<_> = named.iter().map(plain).collect();
    let roots = enrollment.trust().roots();
    let unknown: Vec<_> = roots
        .iter()
        .map(|root| fingerprint(root))
        .filter(|root| !named.contains(root))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(CliError::Refused(format!(
        "the file's root certificate has the fingerprint {}, expected {}: the file isn't this platform's; nothing was changed",
        unknown.join(" and "),
        named.join(" or ")
    )))
}

fn refuse_where_enrolled(
    config: &AgentConfig,
    enrollment: &Enrollment,
    replace: bool,
) -> Result<(), CliError> {
    let (folder, wanted) = (&config.identity_dir, enrollment.id());
    if bundle::has_identity(folder) {
        let installed = bundle::installed_id(folder);
        if let Some(installed) = installed.filter(|installed| installed != wanted) {
            // The spool's results are sealed under the name that it has.
            return Err(CliError::Enrolled(format!(
                "{} holds the identity of {installed}, and the file is for {wanted}: make a folder of its own for that agent, \
                 with `agent-host init --dir FOLDER`",
                folder.display()
            )));
        }
        if !replace {
            return Err(CliError::Enrolled(format!(
                "{wanted} is enrolled already; gateways renew its certificate by themselves. Where the platform's operator \
                 made this file with `platform agent add --replace`, give --replace here, too"
            )));
        }
    }
    let spool = app::spool_dir(config);
    if spool.is_dir() && spool::is_locked(&spool) {
        return Err(CliError::NotEnrolled(
            "the agent runs: stop it, run this again, and start it when this is done".to_owned(),
        ));
    }
    Ok(())
}

async fn listen(config: &AgentConfig) -> Result<TcpListener, CliError> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|source| {
        CliError::Start(StartError::Listen {
            setting: "listen",
            address,
            source,
        })
    })
}

fn installed(
    serial: Option<picket_identity::Serial>,
    args: &Args,
    config: &AgentConfig,
    id: &str,
) -> Result<ExitCode, CliError> {
    let Some(serial) = serial else {
        return Err(CliError::NotEnrolled(
            "it ended before it was enrolled".to_owned(),
        ));
    };
    let wiped = std::fs::remove_file(&args.file);
    output::line(id)?;
    let mut talk = std::io::stderr().lock();
    writeln!(
        talk,
        "{id} is enrolled; its certificate has the serial number {serial}."
    )?;
    match wiped {
        Ok(()) => writeln!(talk, "Deleted {}, which is used up.", args.file.display())?,
        Err(error) => writeln!(
            talk,
            "warning: can't delete {}: {error}; it is used up, delete it by hand",
            args.file.display()
        )?,
    }
    writeln!(
        talk,
        "Next: agent-host run --config {}\nThe certificate is renewed by the gateways; `agent-host cert show` shows it.",
        config.path.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// By the wall clock, which jumps when a machine sleeps.
async fn until(unix_ms: i64) {
    const LOOK_EVERY: Duration = Duration::from_secs(5);
    while unix_millis(verify::now()) <= unix_ms {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> CliError {
    CliError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}
