//! Bringing a database up to date. Migrations only go forward; a database from a newer program is left alone.

use std::path::Path;

use sqlx::{Connection as _, Row as _};

use super::{Connection, Result, StoreError, dialect};

/// Every migration, oldest first. One that has been released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "initial",
        include_str!("../../migrations/sqlite/0001_initial.sql"),
    ),
    (
        2,
        "identity",
        include_str!("../../migrations/sqlite/0002_identity.sql"),
    ),
    (
        3,
        "authorities",
        include_str!("../../migrations/sqlite/0003_authorities.sql"),
    ),
    (
        4,
        "workload API",
        include_str!("../../migrations/sqlite/0004_workload_api.sql"),
    ),
];

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// Runs what is missing, all in one transaction that also keeps other processes from doing the same.
///
/// # Errors
/// [`StoreError::TooNew`], [`StoreError::Migration`].
pub async fn run(connection: &mut Connection, path: &Path) -> Result<()> {
    let expected = newest();
    let mut transaction = connection.begin_with(dialect::BEGIN_WRITE).await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migration (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)",
    )
    .execute(&mut *transaction)
    .await?;
    let found: i64 = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_migration")
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    if found > expected {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            expected,
            found,
        });
    }
    let now: i64 = sqlx::query(dialect::SELECT_NOW)
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    for (version, name, sql) in MIGRATIONS.iter().filter(|(version, ..)| *version > found) {
        sqlx::raw_sql(*sql)
            .execute(&mut *transaction)
            .await
            .map_err(|error| StoreError::Migration {
                path: path.to_owned(),
                reason: format!("migration {version} ({name}): {error}"),
            })?;
        sqlx::query("INSERT INTO schema_migration (version, name, applied_at) VALUES ($1, $2, $3)")
            .bind(version)
            .bind(*name)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}
