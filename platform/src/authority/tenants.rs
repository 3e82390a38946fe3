//! Tenants come, pause and go. Each act is one transaction with its audit row; hints follow the commit.

use picket_identity::name::TenantSlug;
use picket_issuing::Intermediate;

use super::{Authority, AuthorityError, register, unix_time};
use crate::events::Event;
use crate::store::{self, Connection};

impl Authority {
    /// Adds a tenant and makes its authority.
    ///
    /// # Errors
    /// [`AuthorityError`]: the slug is taken, or a key can't be written.
    pub async fn add_tenant(&self, slug: &TenantSlug, name: &str, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        if store::tenants::find(&mut write, slug.as_str()).await?.is_some() {
            return Err(AuthorityError::Exists {
                kind: "tenant",
                name: slug.to_string(),
                hint: "",
            });
        }
        let (_, root) = self.issuer(&mut write, "root", None).await?;
        let authority = root.new_intermediate(Intermediate::Tenant(slug.clone()), unix_time(now))?;
        store::tenants::insert(&mut write, slug.as_str(), name, now).await?;
        register(&mut write, &self.0.keys, "tenant", Some(slug), &authority, now).await?;
        store::audit::record(
            &mut write,
            now,
            actor,
            "tenant.add",
            Some(slug.as_str()),
            slug.as_str(),
            name,
        )
        .await?;
        write.commit().await?;
        self.0.events.publish(Event::tenant(slug.as_str(), now));
        Ok(())
    }
}

/// Refuses what is asked for a tenant that doesn't work. Whoever issues or takes something for a tenant asks here, in the
/// same transaction.
///
/// # Errors
/// [`AuthorityError::NotFound`] where it was deleted or never was, [`AuthorityError::TenantSuspended`].
pub async fn require_active(connection: &mut Connection, tenant: &str) -> Result<(), AuthorityError> {
    match store::tenants::find(connection, tenant).await? {
        Some(found) if found.state == "active" => Ok(()),
        Some(found) if found.state == "suspended" => Err(AuthorityError::TenantSuspended(tenant.to_owned())),
        _ => Err(no_tenant(tenant)),
    }
}

fn no_tenant(tenant: &str) -> AuthorityError {
    AuthorityError::NotFound {
        kind: "tenant",
        name: tenant.to_owned(),
    }
}
