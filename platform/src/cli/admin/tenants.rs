//! `platform tenant`.

use super::super::arguments::TenantCommand;
use super::super::{CliError, Site, actor, output};
use crate::store;

/// Adds, suspends, resumes, deletes or lists.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: TenantCommand) -> Result<(), CliError> {
    match command {
        TenantCommand::Add {
            slug,
            name,
            root_key,
            at,
        } => {
            let site = Site::open_with_root(&at.config, root_key.as_deref()).await?;
            let name = name.unwrap_or_else(|| slug.to_string());
            site.authority.add_tenant(&slug, &name, &actor()).await?;
            output::line(slug.as_str())
        }
        TenantCommand::Suspend { slug, at } => {
            let site = Site::open(&at.config).await?;
            site.authority.suspend_tenant(&slug, &actor()).await?;
            output::line(slug.as_str())
        }
        TenantCommand::Resume { slug, at } => {
            let site = Site::open(&at.config).await?;
            site.authority.resume_tenant(&slug, &actor()).await?;
            output::line(slug.as_str())
        }
        TenantCommand::Delete { slug, yes, at } => {
            if !yes {
                return Err(CliError::NotConfirmed(format!(
                    "deleting {slug} revokes all of its certificates, destroys its keys and removes its data, and its slug is \
                     never used again"
                )));
            }
            let site = Site::open(&at.config).await?;
            site.authority.delete_tenant(&slug, &actor()).await?;
            output::line(slug.as_str())
        }
        TenantCommand::List(listing) => {
            let site = Site::open(&listing.at.config).await?;
            let tenants = store::tenants::list(&mut *site.store.read().await?).await?;
            let row = |tenant: &store::tenants::Tenant| {
                vec![
                    tenant.slug.clone().into(),
                    tenant.name.clone().into(),
                    tenant.state.clone().into(),
                    output::time(tenant.created_at).into(),
                ]
            };
            let rows: Vec<_> = tenants.iter().map(row).collect();
            output::rows(listing.output, &["slug", "name", "state", "created"], &rows)
        }
    }
}
