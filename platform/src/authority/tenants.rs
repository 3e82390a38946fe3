//! Tenants come, pause and go. Each act is one transaction with its audit row; hints follow the commit.

use picket_identity::name::TenantSlug;
use picket_issuing::Intermediate;

use super::{Authority, AuthorityError, register, unix_time};
use crate::events::Event;
use crate::jobs::tenant_removal;
use crate::store::authorities::Ca;
use crate::store::tenants::Tenant;
use crate::store::{self, Connection};

impl Authority {
    /// Adds a tenant and makes its authority.
    ///
    /// # Errors
    /// [`AuthorityError`]: the slug is taken, or a key can't be written.
    pub async fn add_tenant(&self, slug: &TenantSlug, name: &str, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        if let Some(found) = store::tenants::find(&mut write, slug.as_str()).await? {
            return Err(AuthorityError::Exists {
                kind: "tenant",
                name: slug.to_string(),
                // A certificate of the old one's must never be one of the new one's.
                hint: if found.state == "deleted" {
                    ": it was deleted, and a slug is never used again; choose another"
                } else {
                    ""
                },
            });
        }
        let (root_ca, root) = self.issuer(&mut write, "root", None).await?;
        let authority = root.new_intermediate(Intermediate::Tenant(slug.clone()), unix_time(now))?;
        store::tenants::insert(&mut write, slug.as_str(), name, now).await?;
        register(
            &mut write,
            &self.0.keys,
            "tenant",
            Some(slug),
            (&authority, Some(root_ca.id)),
            now,
        )
        .await?;
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

    /// Suspends a tenant: its agents leave the gateways, nothing is issued for it, and its results are refused. Nothing is
    /// taken away: [`Authority::resume_tenant`] brings all of it back. It is no error where it is suspended already.
    ///
    /// # Errors
    /// [`AuthorityError::NotFound`].
    pub async fn suspend_tenant(&self, slug: &TenantSlug, actor: &str) -> Result<(), AuthorityError> {
        self.set_tenant_state(slug, "suspended", "tenant.suspend", actor)
            .await
    }

    /// Takes a tenant's suspension back. It is no error where it isn't suspended.
    ///
    /// # Errors
    /// [`AuthorityError::NotFound`].
    pub async fn resume_tenant(&self, slug: &TenantSlug, actor: &str) -> Result<(), AuthorityError> {
        self.set_tenant_state(slug, "active", "tenant.resume", actor)
            .await
    }

    async fn set_tenant_state(
        &self,
        slug: &TenantSlug,
        state: &str,
        action: &str,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let slug = slug.as_str();
        if existing(&mut write, slug).await?.state == state {
            return Ok(());
        }
        store::tenants::set_state(&mut write, slug, state).await?;
        store::tenants::tell(&mut write, slug, now).await?;
        store::audit::record(&mut write, now, actor, action, Some(slug), slug, "").await?;
        write.commit().await?;
        self.0.events.publish(Event::tenant(slug, now));
        Ok(())
    }

    /// Deletes a tenant for good: its authorities and certificates are revoked, the authorities' keys destroyed, its API
    /// tokens and enrolment files void. A job removes its data. Its slug is never used again.
    ///
    /// # Errors
    /// [`AuthorityError::NotFound`]; a key that can't be removed, which the job then tries again.
    pub async fn delete_tenant(&self, slug: &TenantSlug, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let slug = slug.as_str();
        existing(&mut write, slug).await?;
        store::tenants::end(&mut write, slug).await?;
        store::tenants::tell(&mut write, slug, now).await?;
        store::installation::bump_trust(&mut write).await?;
        tenant_removal::enqueue(&mut write, slug, now).await?;
        store::audit::record(&mut write, now, actor, "tenant.delete", Some(slug), slug, "").await?;
        write.commit().await?;
        self.0.events.publish(Event::tenant(slug, now));
        self.destroy_tenant_keys(slug).await
    }

    /// Destroys the keys of a deleted tenant's authorities. It is no error where they are gone.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn destroy_tenant_keys(&self, slug: &str) -> Result<(), AuthorityError> {
        let mut read = self.0.store.read().await?;
        let authorities = store::authorities::list(&mut read).await?;
        drop(read);
        let is_its = |ca: &&Ca| ca.tenant.as_deref() == Some(slug) && ca.state == "revoked";
        for ca in authorities.iter().filter(is_its) {
            self.0.keys.destroy(&ca.key_ref)?;
        }
        Ok(())
    }
}

/// A tenant that isn't deleted.
async fn existing(connection: &mut Connection, slug: &str) -> Result<Tenant, AuthorityError> {
    store::tenants::find(connection, slug)
        .await?
        .filter(|tenant| tenant.state != "deleted")
        .ok_or_else(|| no_tenant(slug))
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
