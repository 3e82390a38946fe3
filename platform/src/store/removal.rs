//! What is left of a tenant that was deleted, and its removal in bounded steps. Its own row stays, so that its slug is never
//! used again; so do its authorities' certificates, which are revoked, and the audit.

use super::{Connection, Result};

/// The tables, each with the statement that removes at most `$2` rows of the tenant `$1`. An agent goes last: while it is
/// there, others may still refer to it.
const STEPS: [(&str, &str); 11] = [
    (
        "sample_chunk",
        "DELETE FROM sample_chunk WHERE (tenant, agent, stream, first_seq) IN ( \
         SELECT tenant, agent, stream, first_seq FROM sample_chunk WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "result_gap",
        "DELETE FROM result_gap WHERE (tenant, agent, stream, first_seq) IN ( \
         SELECT tenant, agent, stream, first_seq FROM result_gap WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "state_event",
        "DELETE FROM state_event WHERE id IN (SELECT id FROM state_event WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "check_state",
        "DELETE FROM check_state WHERE (tenant, agent, name) IN ( \
         SELECT tenant, agent, name FROM check_state WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "alert",
        "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "agent_cursor",
        "DELETE FROM agent_cursor WHERE (tenant, agent) IN ( \
         SELECT tenant, agent FROM agent_cursor WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "agent_reach",
        "DELETE FROM agent_reach WHERE (tenant, agent) IN ( \
         SELECT tenant, agent FROM agent_reach WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "activation",
        "DELETE FROM activation WHERE id IN (SELECT id FROM activation WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "certificate",
        "DELETE FROM certificate WHERE (issuer_ca, serial) IN ( \
         SELECT issuer_ca, serial FROM certificate WHERE tenant = $1 LIMIT $2)",
    ),
    (
        "registry_change",
        "DELETE FROM registry_change WHERE (pool, revision) IN ( \
         SELECT pool, revision FROM registry_change WHERE tenant = $1 AND agent <> '' LIMIT $2)",
    ),
    (
        "agent",
        "DELETE FROM agent WHERE (tenant, name) IN (SELECT tenant, name FROM agent WHERE tenant = $1 LIMIT $2)",
    ),
];

/// Removes up to `limit` rows of the first table that still has any of a deleted tenant's. Returns the table and how many;
/// `None` where nothing is left, or the tenant isn't deleted.
///
/// # Errors
/// [`super::StoreError`].
pub async fn step(
    connection: &mut Connection,
    tenant: &str,
    limit: u32,
) -> Result<Option<(&'static str, u64)>> {
    let is_deleted = sqlx::query("SELECT 1 FROM tenant WHERE slug = $1 AND state = 'deleted'")
        .bind(tenant)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    if !is_deleted {
        return Ok(None);
    }
    for (table, statement) in STEPS {
        let removed = sqlx::query(statement)
            .bind(tenant)
            .bind(limit)
            .execute(&mut *connection)
            .await?
            .rows_affected();
        if removed > 0 {
            return Ok(Some((table, removed)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn every_table_with_a_tenant_is_removed_from_or_kept_for_a_reason() {
        let kept = [
            // Keep the slug taken, and say that the authority is revoked.
            "tenant",
            "ca",
            // Who did what.
            "audit",
            // Goes at once, with the deletion itself.
            "api_token",
            // A pool of the tenant's own has shards, and gateways that are somebody's machines.
            "pool",
        ];
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("picket.db")).await.unwrap();
        let mut read = store.read().await.unwrap();
        let tables: Vec<(String, bool)> = sqlx::query_as(
            "SELECT m.name, EXISTS (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name IN ('tenant', 'slug')) \
             FROM sqlite_master m WHERE m.type = 'table'",
        )
        .fetch_all(&mut *read)
        .await
        .unwrap();
        assert!(tables.len() > 20);
        for (table, has_tenant) in tables {
            let is_removed = STEPS.iter().any(|(name, _)| *name == table);
            assert_eq!(
                has_tenant,
                is_removed || kept.contains(&table.as_str()),
                "{table}"
            );
        }
    }
}
