//! SQLite: the one module that knows it.

use std::path::Path;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Result, StoreError};

/// The database's driver.
pub type Db = sqlx::Sqlite;
/// One connection.
pub type Connection = sqlx::SqliteConnection;
/// Connections.
pub type DbPool = sqlx::SqlitePool;
/// A row that was read.
pub type DbRow = sqlx::sqlite::SqliteRow;

/// Takes the write lock at once: a transaction that begins with a read and then writes can fail half-way when another
/// process writes in between, and no waiting helps it.
pub const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// The database's clock in Unix milliseconds.
pub const SELECT_NOW: &str = "SELECT CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";

/// A number that is another one after each commit of any other connection, in this process or another.
pub const SELECT_CHANGE_MARKER: &str = "PRAGMA data_version";

/// `IN` a list that is bound as one value: a JSON array of texts, as [`text_list`] writes it.
macro_rules! in_list {
    ($placeholder:literal) => {
        concat!("IN (SELECT value FROM json_each(", $placeholder, "))")
    };
}
pub(super) use in_list;

/// The value to bind for [`in_list`].
pub(super) fn text_list(texts: &[&str]) -> String {
    serde_json::Value::from(texts.to_vec()).to_string()
}

/// How long a statement waits for another process's lock. A write transaction takes milliseconds; a second and more
/// means that the disk hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for a connection of ours.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// The oldest SQLite without known corruption of WAL databases.
const OLDEST: (u32, u32, u32) = (3, 51, 3);
const OLDEST_TEXT: &str = "3.51.3";

/// SQLite's result codes for "somebody else holds the lock" (SQLITE_BUSY and SQLITE_LOCKED; the low byte of an extended
/// code).
const LOCK_CODES: [i32; 2] = [5, 6];

pub(super) fn options(path: &Path, create: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL mode, only FULL makes a commit survive a power cut, and an agent frees what we say is committed.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

pub(super) fn pool_options(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}

pub(super) async fn require_sound_engine(connection: &mut Connection) -> Result<()> {
    let found: String = sqlx::query("SELECT sqlite_version()")
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    if parse_version(&found).is_some_and(|version| version >= OLDEST) {
        return Ok(());
    }
    Err(StoreError::EngineTooOld {
        expected: OLDEST_TEXT,
        found,
    })
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| LOCK_CODES.contains(&(code & 0xff))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_older_than_3_51_3_is_too_old() {
        assert!(parse_version("3.51.2").unwrap() < OLDEST);
        assert!(parse_version("3.51.3").unwrap() >= OLDEST);
        assert!(parse_version("3.9.0").unwrap() < OLDEST);
        assert!(parse_version("4.0.0").unwrap() >= OLDEST);
        assert_eq!(parse_version("three"), None);
    }
}
