//! `platform ca`.

use std::path::Path;

use picket_identity::pem;
use rustls::pki_types::CertificateDer;

use super::super::arguments::{CaCommand, Format, Listing};
use super::super::{CliError, Site, actor, encryption_key, output};
use crate::authority::encryption::Sources;
use crate::config::Config;
use crate::store;

/// Shows the authorities, or works on their keys.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: CaCommand) -> Result<(), CliError> {
    match command {
        CaCommand::Show(listing) => show(&listing).await,
        CaCommand::Encrypt {
            encryption_key_file,
            at,
        } => encrypt(encryption_key_file.as_deref(), &at.config).await,
    }
}

async fn encrypt(key_file: Option<&Path>, config: &Path) -> Result<(), CliError> {
    let mut site = Site::open(config).await?;
    let configured = site.config.authority_keys.encryption_key_file.clone();
    if Sources::of_this_process(configured).is_empty() {
        let chosen = encryption_key::choose(key_file, &site.config.data_dir)?;
        chosen.make()?;
        let text = std::fs::read_to_string(config).map_err(|source| CliError::File {
            action: "read",
            path: config.to_owned(),
            source,
        })?;
        // Checked before it is written: what stands in the file stays whole.
        let text = format!("{}\n{}", text.trim_end(), chosen.section());
        let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty());
        Config::parse(&text, config, folder.unwrap_or(Path::new(".")))?;
        output::replace(config, &text)?;
        output::note(&chosen.advice())?;
        site = Site::open(config).await?;
    } else if let Some(file) = key_file {
        return Err(CliError::KeyFileGiven(file.to_owned()));
    }
    for name in site.authority.encrypt_keys(&actor()).await? {
        output::line(&name)?;
    }
    Ok(())
}

async fn show(listing: &Listing) -> Result<(), CliError> {
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
