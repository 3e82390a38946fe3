//! `gateway identity parse-id`.

use std::io::BufRead as _;

use clap::Args;
use picket_identity::spiffe::{SpiffeError, SpiffeId};
use serde::Serialize;

use super::super::exit::Failed;
use super::super::output;

#[derive(Debug, Args)]
#[command(after_help = "Prints a line of JSON for each text, in their order: \
    {\"outcome\":\"accept\"|\"refuse\",\"reason\":…,\"detail\":…}. The reasons: encoding, too_long, scheme, \
    trust_domain, path, name. The exit code is 0, whatever the texts are.")]
pub(in crate::cli) struct ParseIdArgs {
    /// The texts.
    #[arg(
        value_name = "ID",
        required_unless_present = "stdin0",
        conflicts_with = "stdin0"
    )]
    ids: Vec<String>,
    /// Read texts from stdin, any bytes, each ended by a NUL; the last one's may be left out.
    #[arg(long)]
    stdin0: bool,
}

#[derive(Serialize)]
struct Answer {
    outcome: &'static str,
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

pub(super) fn parse_id(args: &ParseIdArgs) -> Result<(), Failed> {
    if !args.stdin0 {
        return args
            .ids
            .iter()
            .try_for_each(|id| output::json_line(&judged(id.as_bytes())));
    }
    for candidate in std::io::stdin().lock().split(0) {
        let candidate =
            candidate.map_err(|error| Failed::unavailable(format!("stdin can't be read: {error}")))?;
        output::json_line(&judged(&candidate))?;
    }
    Ok(())
}

fn judged(candidate: &[u8]) -> Answer {
    let refused = |reason, detail| Answer {
        outcome: "refuse",
        reason: Some(reason),
        detail: Some(detail),
    };
    let Ok(text) = std::str::from_utf8(candidate) else {
        return refused("encoding", "not UTF-8: a SPIFFE ID is ASCII".to_owned());
    };
    match text.parse::<SpiffeId>() {
        Ok(_) => Answer {
            outcome: "accept",
            reason: None,
            detail: None,
        },
        Err(error) => refused(word(&error), error.to_string()),
    }
}

const fn word(error: &SpiffeError) -> &'static str {
    match error {
        SpiffeError::Scheme(_) => "scheme",
        SpiffeError::TooLong(_) => "too_long",
        SpiffeError::TrustDomain(_) => "trust_domain",
        SpiffeError::Path(_) => "path",
        SpiffeError::Name(_) => "name",
    }
}
