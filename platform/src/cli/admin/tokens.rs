//! `platform token` and `platform signin-token`.

use picket_identity::name::TenantSlug;

use super::super::arguments::{At, TokenCommand};
use super::super::{CliError, Site, actor, output};
use crate::authority::AuthorityError;
use crate::store;

/// Makes a bearer token and shows it.
///
/// # Errors
/// [`CliError`].
pub async fn create(command: TokenCommand) -> Result<(), CliError> {
    let TokenCommand::Create { name, tenant, at } = command;
    let site = Site::open(&at.config).await?;
    let tenant = tenant.as_ref().map(TenantSlug::as_str);
    if let Some(slug) = tenant
        && store::tenants::find(&mut *site.store.read().await?, slug)
            .await?
            .is_none_or(|tenant| tenant.state == "deleted")
    {
        return Err(AuthorityError::NotFound {
            kind: "tenant",
            name: slug.to_owned(),
        }
        .into());
    }
    let token = match store::auth::create_api_token(&site.store, &name, tenant).await {
        Err(error) if error.is_unique_violation() => return Err(CliError::TokenExists(name)),
        token => token?,
    };
    audit(&site, "token.create", tenant, &name).await?;
    output::line(token.reveal())
}

/// Makes a one-time sign-in token and shows it.
///
/// # Errors
/// [`CliError`].
pub async fn sign_in(at: &At) -> Result<(), CliError> {
    let site = Site::open(&at.config).await?;
    let token = store::auth::create_signin_token(&site.store).await?;
    audit(&site, "signin-token.create", None, site.config.node.as_str()).await?;
    output::line(token.reveal())
}

async fn audit(site: &Site, action: &str, tenant: Option<&str>, subject: &str) -> Result<(), CliError> {
    let mut write = site.store.write().await?;
    let now = write.now();
    store::audit::record(&mut write, now, &actor(), action, tenant, subject, "").await?;
    Ok(write.commit().await?)
}
