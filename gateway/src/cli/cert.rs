//! `gateway cert show`.

use clap::Args;
use picket_identity::verify;
use serde::Serialize;

use super::ConfigArgs;
use super::exit::Failed;
use super::output::{OutputArgs, columns};
use crate::config::Config;
use crate::platform::Link;
use crate::upkeep::plan::renewal_at;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Shown {
    spiffe_id: String,
    common_name: String,
    serial: String,
    not_before_unix_s: u64,
    not_after_unix_s: u64,
    days_left: u64,
    /// A running gateway renews it from then on.
    renewal_unix_s: u64,
    trust_sequence: u64,
}

pub(super) async fn show(args: &ShowArgs) -> Result<(), Failed> {
    let config: Config = args.config.load()?;
    let identity = Link::open(&config).await?.identity();
    let leaf = identity.credential().leaf();
    let now = verify::now();
    let (not_before, not_after) = (leaf.not_before.as_secs(), leaf.not_after.as_secs());
    let shown = Shown {
        spiffe_id: identity.credential().id().to_string(),
        common_name: leaf.common_name.clone(),
        serial: leaf.serial.to_string(),
        not_before_unix_s: not_before,
        not_after_unix_s: not_after,
        days_left: not_after.saturating_sub(now.as_secs()) / 86_400,
        renewal_unix_s: renewal_at(not_before, not_after, 0),
        trust_sequence: identity.trust_sequence(),
    };
    args.output.write(&shown, || {
        let not_before = date(shown.not_before_unix_s);
        let not_after = date(shown.not_after_unix_s);
        columns(&[
            ["spiffe id".to_owned(), shown.spiffe_id.clone()],
            ["common name".to_owned(), shown.common_name.clone()],
            ["serial".to_owned(), shown.serial.clone()],
            ["not before".to_owned(), not_before],
            ["not after".to_owned(), not_after],
            ["days left".to_owned(), shown.days_left.to_string()],
            ["renewed from".to_owned(), date(shown.renewal_unix_s)],
            ["trust sequence".to_owned(), shown.trust_sequence.to_string()],
        ])
    })
}

fn date(unix_s: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_s);
    humantime::format_rfc3339_seconds(at).to_string()
}
