//! `platform ca`.

use std::path::Path;

use picket_identity::pem;
use picket_issuing::Role;
use rustls::pki_types::CertificateDer;

use super::super::arguments::{CaCommand, Format, Listing, Rotate, RotateKind, RotateStep};
use super::super::{CliError, Site, actor, encryption_key, output};
use crate::authority::encryption::Sources;
use crate::authority::rotation::Standing;
use crate::authority::rotation::decision::{Decision, Step};
use crate::config::Config;
use crate::store;
use crate::store::authorities::Ca;

/// Shows the authorities, or works on their keys.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: CaCommand) -> Result<(), CliError> {
    match command {
        CaCommand::Show(listing) => show(&listing).await,
        CaCommand::Rotate(arguments) => rotate(arguments).await,
        CaCommand::ExportRoot { out, with_key, at } => {
            let site = Site::open(&at.config).await?;
            if let Some(file) = with_key {
                move_root_key(&site, &file).await?;
            }
            export_root(&site, out.as_deref()).await
        }
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

async fn rotate(arguments: Rotate) -> Result<(), CliError> {
    let role = match (arguments.kind, arguments.slug) {
        (RotateKind::Tenant, Some(slug)) => Role::Tenant(slug),
        (RotateKind::Gateway, None) => Role::Gateway,
        (RotateKind::Platform, None) => Role::Platform,
        (RotateKind::Root, None) => Role::Root,
        (RotateKind::Tenant, None) => return Err(CliError::RotateWhat("`tenant` needs the tenant's slug")),
        (_, Some(_)) => return Err(CliError::RotateWhat("only `tenant` takes a slug")),
    };
    let site = Site::open_with_root(&arguments.at.config, arguments.root_key.as_deref()).await?;
    let step = arguments.step.map(|step| match step {
        RotateStep::Activate => Step::Activate,
        RotateStep::Taint => Step::Taint,
        RotateStep::Revoke => Step::Revoke,
    });
    let authority = &site.authority;
    let done = match step {
        None => {
            authority.prepare_rotation(&role, &actor()).await?;
            "prepare"
        }
        Some(step) => {
            authority
                .rotate_by_hand(&role, step, arguments.force, &actor())
                .await?;
            step.as_str()
        }
    };
    output::line(&format!("{role}: {done}"))
}

async fn move_root_key(site: &Site, file: &Path) -> Result<(), CliError> {
    site.authority.move_root_key(file, &actor()).await?;
    output::note(&format!(
        "the root's key is in {} now, encrypted with the same key as the others; adding tenants and rotating authorities \
         need it by --root-key",
        file.display()
    ))
}

async fn export_root(site: &Site, out: Option<&Path>) -> Result<(), CliError> {
    let roots = store::authorities::trusted(&mut *site.store.read().await?, "root", None).await?;
    let said = |root: &Ca| {
        format!(
            "root ({}), SHA-256 {}",
            root.state,
            fingerprint(&root.certificate)
        )
    };
    let Some(out) = out else {
        for root in &roots {
            output::line(&format!("{}\n{}", said(root), pem_of(root).trim_end()))?;
        }
        return Ok(());
    };
    let pem: String = roots.iter().map(pem_of).collect();
    output::replace(out, &pem)?;
    for root in &roots {
        output::line(&said(root))?;
    }
    Ok(())
}

fn pem_of(ca: &Ca) -> String {
    pem::certificates([&CertificateDer::from(ca.certificate.as_slice())])
}

async fn show(listing: &Listing) -> Result<(), CliError> {
    let site = Site::open(&listing.at.config).await?;
    let standings = site.authority.standings().await?;
    let row = |Standing { ca, next }: &Standing| {
        let mut row = vec![
            ca.id.into(),
            ca.kind.clone().into(),
            ca.tenant.clone().into(),
            ca.state.clone().into(),
            output::time(ca.not_after_at).into(),
            waits_for(next).into(),
            fingerprint(&ca.certificate).into(),
        ];
        if listing.output == Format::Json {
            row.push(pem_of(ca).into());
        }
        row
    };
    let rows: Vec<_> = standings.iter().map(row).collect();
    let head = [
        "id",
        "kind",
        "tenant",
        "state",
        "ends",
        "waits_for",
        "sha256",
        "certificate",
    ];
    let columns = rows.first().map_or(head.len() - 1, Vec::len);
    output::rows(listing.output, &head[..columns], &rows)?;
    if listing.output == Format::Table {
        for root in store::authorities::trusted(&mut *site.store.read().await?, "root", None).await? {
            output::line(&format!("\n{}", pem_of(&root).trim_end()))?;
        }
    }
    Ok(())
}

fn waits_for(next: &Decision) -> Option<String> {
    match next {
        Decision::Stay => None,
        Decision::Wait(reasons) => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            Some(reasons.join("; "))
        }
        Decision::Take(step) => Some(format!("the next look of the platform, then {}", step.as_str())),
    }
}

fn fingerprint(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
