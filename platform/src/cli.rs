//! The command line: `init`, `serve`, and the administration of a database that may be served at the same time.
//!
//! - [`arguments`]: what can be said.
//! - [`init`], [`serve`], [`admin`]: what is done.
//! - [`encryption_key`]: where a new installation has the key of the authorities' keys.
//! - [`output`]: data to stdout, as a table or as JSON.
//! - [`CliError`]: what went wrong, and the exit code that says so.

pub mod admin;
pub mod arguments;
pub mod encryption_key;
pub mod init;
pub mod output;
pub mod serve;

use std::path::{Path, PathBuf};

use picket_issuing::IssueError;

use crate::app::StartError;
use crate::authority::encryption::KeyError;
use crate::authority::{Authority, AuthorityError};
use crate::config::{Config, ConfigError};
use crate::events::EventBus;
use crate::store::{Store, StoreError};
use arguments::{Arguments, Command};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Starting.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The authorities.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("can't {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the authorities' keys are encrypted with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not said which authority.
    #[error("ca rotate: {0}")]
    RotateWhat(&'static str),
    /// What can't be undone has to be asked for twice.
    #[error("{0}; say --yes to do it, nothing was changed")]
    NotConfirmed(String),
    /// The configuration says it already.
    #[error("the key is given already, so --encryption-key-file {} can't be another; leave it out", .0.display())]
    KeyFileGiven(PathBuf),
    /// Stdout is gone.
    #[error("can't write to standard output: {0}")]
    Output(std::io::Error),
    /// There is something already.
    #[error("{} exists already; nothing was changed", .0.display())]
    Exists(PathBuf),
    /// A name that is taken.
    #[error("there is an API token {0:?} already")]
    TokenExists(String),
    /// The runtime can't be set up.
    #[error("can't set up: {0}")]
    Runtime(String),
    /// There is no job of this kind.
    #[error("there is no job {found:?}; there are {known}")]
    NoSuchJob {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
}

impl CliError {
    /// The exit code: 1 found problems, 2 usage, 69 unavailable, 70 bug, 78 configuration.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::File { .. } | Self::Exists(_) | Self::Key(_) => 78,
            Self::TokenExists(_) => 1,
            Self::NoSuchJob { .. } | Self::KeyFileGiven(_) | Self::RotateWhat(_) | Self::NotConfirmed(_) => 2,
            Self::Output(_) | Self::Runtime(_) => 69,
            Self::Store(error) | Self::Start(StartError::Store(error)) => of_store(error),
            Self::Authority(error) | Self::Start(StartError::Authority(error)) => of_authority(error),
            Self::Start(StartError::Listen { .. }) => 69,
            Self::Start(StartError::Metrics(_)) => 70,
        }
    }
}

fn of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Open { .. }
        | StoreError::Missing(_)
        | StoreError::TooNew { .. }
        | StoreError::Migration { .. } => 78,
        StoreError::EngineTooOld { .. } => 70,
        StoreError::Sql(_) => 69,
    }
}

fn of_authority(error: &AuthorityError) -> u8 {
    match error {
        AuthorityError::NotInitialised
        | AuthorityError::AlreadyInitialised(_)
        | AuthorityError::OtherTrustDomain { .. }
        | AuthorityError::NoAuthority(_)
        | AuthorityError::File { .. }
        | AuthorityError::Tls(_)
        | AuthorityError::Trust(_)
        | AuthorityError::Credential(_)
        | AuthorityError::Key(_)
        | AuthorityError::Issue(IssueError::File { .. }) => 78,
        AuthorityError::Registry(_) | AuthorityError::Activation(_) | AuthorityError::Statement(_) => 70,
        AuthorityError::NotFound { .. }
        | AuthorityError::Exists { .. }
        | AuthorityError::TooMany { .. }
        | AuthorityError::Rotation(_)
        | AuthorityError::NotRecoverable(_) => 1,
        AuthorityError::ForeignTenant { .. } | AuthorityError::TenantSuspended(_) => 77,
        AuthorityError::Setting(_)
        | AuthorityError::Name(_)
        | AuthorityError::Request(_)
        | AuthorityError::Issue(_) => 2,
        AuthorityError::Store(error) => of_store(error),
    }
}

/// Does what the command line says.
///
/// # Errors
/// [`CliError`].
pub async fn run(arguments: Arguments) -> Result<(), CliError> {
    match arguments.command {
        Command::Init(init) => init::run(&init).await,
        Command::Serve(serve) => serve::run(&serve).await,
        Command::Tenant(command) => admin::tenants::run(command).await,
        Command::Agent(command) => admin::agents::run(command).await,
        Command::Gateway(command) => admin::gateways::run(command).await,
        Command::Token(command) => admin::tokens::create(command).await,
        Command::SigninToken(at) => admin::tokens::sign_in(&at).await,
        Command::Ca(command) => admin::authorities::run(command).await,
        Command::Job(command) => admin::jobs::run(command).await,
    }
}

/// What an administrative command works on.
struct Site {
    config: Config,
    store: Store,
    authority: Authority,
}

impl Site {
    async fn open(config: &Path) -> Result<Self, CliError> {
        Self::open_with_root(config, None).await
    }

    /// With the file of the root's key, for what needs it where it was moved out.
    async fn open_with_root(config: &Path, root_key: Option<&Path>) -> Result<Self, CliError> {
        let config = Config::load(config)?;
        let store = Store::open(&config.database()).await?;
        let keys = config.key_folder(root_key);
        let authority =
            Authority::open(store.clone(), EventBus::default(), keys, &config.trust_domain).await?;
        Ok(Self {
            config,
            store,
            authority,
        })
    }
}

/// Who acts, for the audit log.
fn actor() -> String {
    let uid = rustix::process::getuid().as_raw();
    match std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")) {
        Ok(user) => format!("cli {user} (uid {uid})"),
        Err(_) => format!("cli uid {uid}"),
    }
}
