//! `platform ca`.

use picket_identity::pem;
use rustls::pki_types::CertificateDer;

use super::super::arguments::{CaCommand, Format};
use super::super::{CliError, Site, output};
use crate::store;

/// Shows the authorities.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: CaCommand) -> Result<(), CliError> {
    let CaCommand::Show(listing) = command;
    let site = Site::open(&listing.at.config).await?;
    let authorities = store::authorities::list(&mut *site.store.read().await?).await?;
    let pem_of =
        |ca: &store::authorities::Ca| pem::certificates([&CertificateDer::from(ca.certificate.as_slice())]);
    let row = |ca: &store::authorities::Ca| {
        let mut row = vec![
            ca.id.into(),
            ca.kind.clone().into(),
            ca.tenant.clone().into(),
            ca.state.clone().into(),
            output::time(ca.not_after_at).into(),
            fingerprint(&ca.certificate).into(),
        ];
        if listing.output == Format::Json {
            row.push(pem_of(ca).into());
        }
        row
    };
    let rows: Vec<_> = authorities.iter().map(row).collect();
    output::rows(
        listing.output,
        &["id", "kind", "tenant", "state", "ends", "sha256", "certificate"]
            [..rows.first().map_or(6, Vec::len)],
        &rows,
    )?;
    match authorities.iter().find(|ca| ca.kind == "root") {
        Some(root) if listing.output == Format::Table => {
            output::line(&format!("\n{}", pem_of(root).trim_end()))
        }
        _ => Ok(()),
    }
}

fn fingerprint(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
