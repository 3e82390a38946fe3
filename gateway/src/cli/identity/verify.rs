//! `gateway identity verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use picket_identity::profile::ProfileError;
use picket_identity::serial::Serial;
use picket_identity::verify::{self, Reason, Refusal, Trust, TrustError};
use picket_identity::{CertificateDer, UnixTime};
use serde::Serialize;

use super::super::exit::Failed;
use super::super::output::{OutputArgs, columns};
use super::certificates;
use super::expected::{self, ExpectedId, KeyUsage};

#[derive(Debug, Args)]
#[command(
    after_help = "The answer is {\"outcome\":\"accept\"|\"refuse\",\"reason\":…,\"expected\":…,\"got\":…}. \
    Exit codes: 0 accept, 77 refuse, 2 usage, 78 a file that can't be read or holds no certificate."
)]
pub(in crate::cli) struct VerifyArgs {
    /// What the peer sends: its certificate, and the chain beside it if any. PEM or DER; an empty file is a peer without
    /// a certificate.
    #[arg(long, value_name = "FILE")]
    leaf: PathBuf,
    /// What the certificate is used as.
    #[arg(long, value_enum)]
    key_usage: KeyUsage,
    /// The platform's root, PEM or DER. May be given again.
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// A pinned CA below the root, PEM or DER. May be given again.
    #[arg(long, value_name = "FILE", required = true)]
    ca: Vec<PathBuf>,
    /// The identity that is expected; a gateway's or node's name may be `*`.
    #[arg(long, value_name = "SPIFFE-ID")]
    expect_id: ExpectedId,
    /// The common name that is expected [default: the one that belongs to the ID].
    #[arg(long, value_name = "NAME")]
    expect_cn: Option<String>,
    /// A serial number that is active, hexadecimal. May be given again; without it all are.
    #[arg(long, value_name = "SERIAL")]
    active_serial: Vec<Serial>,
    /// A serial number that is denied, of every --ca. May be given again.
    #[arg(long, value_name = "SERIAL", conflicts_with = "active_serial")]
    denied_serial: Vec<Serial>,
    /// When, in seconds since 1970 [default: now].
    #[arg(long, value_name = "UNIX")]
    at: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Answer {
    outcome: &'static str,
    reason: Option<&'static str>,
    expected: String,
    got: String,
}

pub(super) fn verify(args: &VerifyArgs) -> Result<(), Failed> {
    let at = args.at.map(Duration::from_secs).map(UnixTime::since_unix_epoch);
    let (answer, refused) =
        match judge(args, at.unwrap_or_else(verify::now)).map_err(|error| match error {
            Unusable::File(problem) => Failed::misconfigured(problem),
            Unusable::Usage(problem) => Failed::usage(problem),
        })? {
            Ok(accepted) => (accepted, None),
            Err((reason, expected, got)) => {
                let said = format!("refused: {reason}: expected {expected}, got {got}");
                let answer = Answer {
                    outcome: "refuse",
                    reason: Some(reason.as_str()),
                    expected,
                    got,
                };
                (answer, Some(said))
            }
        };
    args.output.write_line(&answer, || {
        columns(&[
            ["outcome".to_owned(), answer.outcome.to_owned()],
            ["reason".to_owned(), answer.reason.unwrap_or("-").to_owned()],
            ["expected".to_owned(), answer.expected.clone()],
            ["got".to_owned(), answer.got.clone()],
        ])
    })?;
    refused.map_or(Ok(()), |said| Err(Failed::refused(said)))
}

/// Why there is no answer.
enum Unusable {
    File(String),
    Usage(String),
}

/// What was refused, as reason, expected and got.
type Refused = (Reason, String, String);

fn judge(args: &VerifyArgs, at: UnixTime) -> Result<Result<Answer, Refused>, Unusable> {
    let sent = certificates::sent(&args.leaf).map_err(Unusable::File)?;
    let trust = match Trust::with_roots(all(&args.root)?, all(&args.ca)?) {
        Ok(trust) => trust,
        Err(error) => return untrusted(&error).map(Err),
    };
    let serials = expected::serials(&args.active_serial, &args.denied_serial, &trust);
    let expectation = args
        .expect_id
        .expectation(args.key_usage, trust, serials)
        .map_err(Unusable::Usage)?;
    // This is the whole verification: what follows only narrows what was asked for on the command line.
    let verified = match expectation.verify(&sent, at) {
        Ok(verified) => verified,
        Err(Refusal {
            reason,
            expected,
            got,
            ..
        }) => return Ok(Err((reason, expected, got))),
    };
    let (id, common_name) = (verified.id().to_string(), verified.id().common_name());
    if !args.expect_id.is(verified.id()) {
        return Ok(Err((Reason::WrongAgent, args.expect_id.as_str().to_owned(), id)));
    }
    if let Some(expected) = &args.expect_cn
        && *expected != common_name
    {
        return Ok(Err((Reason::CnMismatch, expected.clone(), common_name)));
    }
    Ok(Ok(Answer {
        outcome: "accept",
        reason: None,
        expected: args.expect_id.as_str().to_owned(),
        got: id,
    }))
}

fn all(files: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let mut found = Vec::new();
    for file in files {
        found.extend(certificates::trusted(file).map_err(Unusable::File)?);
    }
    Ok(found)
}

/// Certificates that nobody may trust vouch for nobody: an answer, unless they aren't certificates at all.
fn untrusted(error: &TrustError) -> Result<Refused, Unusable> {
    let reason = match error {
        TrustError::Root(ProfileError::Der(_))
        | TrustError::Ca {
            error: ProfileError::Der(_),
            ..
        }
        | TrustError::TooMany(..) => return Err(Unusable::File(error.to_string())),
        TrustError::RootPinned { .. } => Reason::WrongIssuer,
        _ => Reason::BadProfile,
    };
    Ok((
        reason,
        "a root, and CAs below it, that may sign (X509-SVID section 4.3)".to_owned(),
        error.to_string(),
    ))
}
