//! The database. Everything that is kept is kept here, and every process of the platform may write to it.
//!
//! - [`Store`] is the handle: a pool of readers, and one writer whose transactions begin as `BEGIN IMMEDIATE`.
//! - [`dialect`] is the only module that knows which database this is: types, options, the clock, the change marker. A
//!   twin for PostgreSQL is a second set of those names; the statements elsewhere stay inside what both understand.
//! - The modules below it hold the statements, one noun each, as functions of a connection: so that a caller puts
//!   several of them into one transaction. Each statement names the tenant.

pub mod activations;
pub mod agents;
pub mod alerts;
pub mod assignments;
pub mod audit;
pub mod auth;
pub mod authorities;
pub mod certificates;
pub mod checks;
pub mod chunks;
pub mod cursors;
pub mod dialect;
pub mod gateways;
pub mod installation;
pub mod jobs;
pub mod migrations;
pub mod nodes;
pub mod reach;
pub mod registry;
pub mod removal;
pub mod rotation;
mod row;
pub mod sessions;
pub mod shards;
pub mod tenants;
pub mod views;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use sqlx::Row as _;

use crate::clock::{Clock, UnixMs};

pub use dialect::{Connection, Db, DbPool, DbRow};

/// Readers at once. SQLite's readers don't wait for each other or for the writer; more than a few only cost memory.
const READERS: u32 = 8;

/// What went wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file isn't there, or can't be opened or written.
    #[error("the database {} can't be opened: {source}; look at the path and its permissions", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// There is no database here yet.
    #[error("there is no database at {}; `platform init` makes one", .0.display())]
    Missing(PathBuf),
    /// A newer program has written this database.
    #[error(
        "the database {} has schema version {found}, this program knows versions up to {expected}: it was written by a newer \
         program; use that one, or restore the backup from before the upgrade",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The newest version that this program knows.
        expected: i64,
        /// The version that the database has.
        found: i64,
    },
    /// A migration of this database isn't the one that this program has.
    #[error("the database {} could not be brought up to date: {reason}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What the migration said.
        reason: String,
    },
    /// The SQLite in this program is one with known faults.
    #[error(
        "this program was built with SQLite {found}; at least {expected} is needed, older ones can corrupt a WAL database"
    )]
    EngineTooOld {
        /// The oldest that will do.
        expected: &'static str,
        /// What is linked.
        found: String,
    },
    /// The statement failed.
    #[error("the database refused: {0}")]
    Sql(#[from] sqlx::Error),
}

impl StoreError {
    /// Whether the same may succeed later: another process holds the lock, or no connection came free.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sql(error) => dialect::is_transient(error),
            _ => false,
        }
    }

    /// Whether a row with that key is there already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// What the store's functions return.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The database. Cheap to clone; the connections close when the last clone is dropped, or by [`Store::close`].
#[derive(Debug, Clone)]
pub struct Store {
    readers: DbPool,
    writer: DbPool,
    clock: Clock,
    path: PathBuf,
}

/// Makes an empty file that only its owner can read; leaves one that is there as it is.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

impl Store {
    /// Opens the database at `path` and brings it up to date. It has to exist.
    ///
    /// # Errors
    /// [`StoreError`]: missing, newer than the program, not writable.
    pub async fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Self::open_with(path, Clock::Database, false).await
    }

    /// Makes the database at `path` where there is none, and brings it up to date.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn create(path: &Path) -> Result<Self> {
        Self::open_with(path, Clock::Database, true).await
    }

    /// As [`Store::create`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn create_with_clock(path: &Path, clock: Clock) -> Result<Self> {
        Self::open_with(path, clock, true).await
    }

    async fn open_with(path: &Path, clock: Clock, create: bool) -> Result<Self> {
        let open_error = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        if create {
            // Sessions and results are in it: SQLite gives its other files the permissions of this one.
            make_private(path).map_err(|error| open_error(sqlx::Error::Io(error)))?;
        }
        let options = dialect::options(path, create);
        // The writer first: it makes the file and its WAL mode, which readers then find.
        let writer = dialect::pool_options(1)
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        let store = Self {
            readers: dialect::pool_options(READERS).connect_lazy_with(options.read_only(true)),
            writer,
            clock,
            path: path.to_owned(),
        };
        {
            let mut connection = store.writer.acquire().await.map_err(open_error)?;
            dialect::require_sound_engine(&mut connection).await?;
            migrations::run(&mut connection, path).await?;
        }
        Ok(store)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection that only reads. Statements on it see what was committed before each of them; for several that have
    /// to agree, [`Store::snapshot`].
    ///
    /// # Errors
    /// [`StoreError::Sql`] where none comes free in time.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Db>> {
        Ok(self.readers.acquire().await?)
    }

    /// A read transaction: all its statements see one state.
    ///
    /// # Errors
    /// [`StoreError::Sql`] where no connection comes free in time.
    pub async fn snapshot(&self) -> Result<sqlx::Transaction<'static, Db>> {
        Ok(self.readers.begin().await?)
    }

    /// A write transaction. It waits for the one before; dropping it without [`Write::commit`] rolls it back.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; [`StoreError::is_transient`] where another process held the lock for too long.
    pub async fn write(&self) -> Result<Write> {
        let mut transaction = self.writer.begin_with(dialect::BEGIN_WRITE).await?;
        let now = self.now_on(&mut transaction).await?;
        Ok(Write { transaction, now })
    }

    /// The time, on the database's clock.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub async fn now(&self) -> Result<UnixMs> {
        match &self.clock {
            Clock::Database => {
                let mut connection = self.read().await?;
                self.now_on(&mut connection).await
            }
            Clock::Manual(clock) => Ok(clock.now()),
        }
    }

    async fn now_on(&self, connection: &mut Connection) -> Result<UnixMs> {
        match &self.clock {
            Clock::Database => Ok(sqlx::query(dialect::SELECT_NOW)
                .fetch_one(connection)
                .await?
                .try_get(0)?),
            Clock::Manual(clock) => Ok(clock.now()),
        }
    }

    /// Closes every connection; what is open finishes first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A write transaction, and the time at which it began. It is a [`Connection`] too.
#[derive(Debug)]
pub struct Write {
    transaction: sqlx::Transaction<'static, Db>,
    now: UnixMs,
}

impl Write {
    /// The time at which the transaction began, on the database's clock: one time for all of its rows.
    #[must_use]
    pub const fn now(&self) -> UnixMs {
        self.now
    }

    /// Makes it durable. Only after this may anything be told about it.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; nothing was written then.
    pub async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

impl Deref for Write {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.transaction
    }
}

/// A count or a sequence number, as the database keeps it.
#[must_use]
pub fn to_db(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count or a sequence number, out of the database; what is negative there is none.
#[must_use]
pub fn from_db(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
