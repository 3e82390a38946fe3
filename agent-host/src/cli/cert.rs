//! `agent-host cert show`.

use std::process::ExitCode;

use picket_identity::UnixTime;
use picket_identity::bundle::Identity;
use picket_identity::enrollment::fingerprint;
use picket_identity::verify;
use serde_json::json;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::AgentConfig;
use crate::identity::validity::{recoverable_until_ms, trouble};
use crate::identity::{AgentIdentity, Validity};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Whose it is, how long it is good for, and whom the agent trusts
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) fn cert(command: Command) -> Result<ExitCode, CliError> {
    let Command::Show(args) = command;
    let config = AgentConfig::load(&args.config.config)?;
    let loaded = AgentIdentity::load(&config.identity_dir)?;
    show(loaded.identity(), verify::now(), args.output.output)?;
    Ok(ExitCode::SUCCESS)
}

fn show(identity: &Identity, now: UnixTime, format: Format) -> std::io::Result<()> {
    let verified = identity.verified();
    let seconds_left = verified.not_after().as_secs().saturating_sub(now.as_secs());
    let validity = Validity::of(identity, now);
    let (not_before_ms, not_after_ms) = (
        verify::unix_millis(verified.not_before()),
        verify::unix_millis(verified.not_after()),
    );
    let recoverable_ms = recoverable_until_ms(identity);
    let roots: Vec<_> = identity
        .peers()
        .roots()
        .iter()
        .map(|root| fingerprint(root))
        .collect();
    let gateway_cas = identity.peers().cas();
    let trouble = trouble(identity, now);
    if format == Format::Json {
        let cas = gateway_cas.iter().map(|ca| {
            json!({
                "sha256": fingerprint(ca.der()),
                "issuer_id": ca.id().to_string(),
                "trust_domain": ca.trust_domain().to_string(),
            })
        });
        return output::json(&json!({
            "spiffe_id": identity.id().to_string(),
            "common_name": identity.id().common_name(),
            "serial": verified.serial().to_string(),
            "not_before_unix_ms": not_before_ms,
            "not_after_unix_ms": not_after_ms,
            "days_left": seconds_left / 86_400,
            "state": validity.as_str(),
            "recoverable_until_unix_ms": recoverable_ms,
            "problem": trouble,
            "roots_sha256": roots,
            "gateway_cas": cas.collect::<Vec<_>>(),
            "trusted_gateway_cas": gateway_cas.len(),
            "trust_sequence": identity.trust_sequence(),
            "denied": identity.denied().len(),
        }));
    }
    let state = match validity {
        Validity::Good | Validity::EndsSoon => format!("{} left", left(seconds_left)),
        Validity::Recoverable | Validity::Lost => "expired".to_owned(),
    };
    let mut rows = vec![
        ("SPIFFE ID", identity.id().to_string()),
        ("common name", identity.id().common_name()),
        ("serial", verified.serial().to_string()),
        ("valid from", output::time(not_before_ms)),
        ("valid until", format!("{} ({state})", output::time(not_after_ms))),
        ("recoverable until", output::time(recoverable_ms)),
    ];
    rows.extend(roots.into_iter().map(|root| ("root", format!("SHA-256 {root}"))));
    let cas = gateway_cas.iter().map(|ca| fingerprint(ca.der()));
    rows.extend(cas.map(|ca| ("gateway CA", format!("SHA-256 {ca}"))));
    rows.push(("trust sequence", identity.trust_sequence().to_string()));
    rows.push(("denied gateways", identity.denied().len().to_string()));
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    output::table(&["CERTIFICATE", ""], &rows)?;
    trouble.map_or(Ok(()), |trouble| output::line(format!("problem: {trouble}")))
}

fn left(seconds: u64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        _ => format!("{} minutes", seconds / 60),
    }
}
