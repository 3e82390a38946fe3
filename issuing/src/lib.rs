//! Picket's certificate authorities: root, gateway, platform and tenant CAs, and the leaves they issue.
//!
//! - [`authority`]: a CA, its key and its certificate. Where the key is kept, and how it is encrypted, is its owner's.
//! - [`issue`]: the leaves. Each comes from a template of ours; of a request nothing is taken but the public key.
//! - [`request`]: that public key, out of a request that proves possession of its private half.
//!
//! ```no_run
//! use picket_identity::{credential::PrivateKey, verify};
//! use picket_issuing::{CertificateAuthority, Intermediate, PublicKey, days};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = verify::now();
//! let root = CertificateAuthority::new_root(&"picket.example".parse()?, now)?;
//! let tenant_ca = root.new_intermediate(Intermediate::Tenant("acme".parse()?), now)?;
//! // From the agent's machine comes only this:
//! let request = PrivateKey::generate()?.csr("berlin-1.acme")?;
//! let key = PublicKey::from_request(&request)?;
//! let issued = tenant_ca.issue_agent(&key, &"berlin-1".parse()?, days(90), now)?;
//! println!("{} until {}", issued.serial, issued.not_after.as_secs());
//! # Ok(()) }
//! ```

pub mod authority;
pub mod issue;
pub mod request;

mod template;

pub use authority::{CertificateAuthority, Intermediate, Role};
pub use issue::Issued;
pub use request::PublicKey;

use std::time::Duration;

use picket_identity::name::NameError;
use picket_identity::profile::ProfileError;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use thiserror::Error;

/// Whole days.
#[must_use]
pub const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// Whole hours.
#[must_use]
pub const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// Why a certificate can't be issued, or a CA can't be used.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The library refused.
    #[error("X.509: {0}")]
    X509(#[from] rcgen::Error),
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// It isn't what it should be.
    #[error("{what}: {problem}")]
    File {
        /// Which.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The certificate isn't a signing certificate of ours.
    #[error("CA certificate: {0}")]
    Profile(#[from] ProfileError),
    /// The private key isn't that of the CA certificate.
    #[error("the private key isn't that of the CA certificate of {0}")]
    KeyMismatch(String),
    /// The CA certificate's name says no role that we know.
    #[error(
        "CA certificate with common name `{0}`: expected `root`, `gateway CA`, `platform CA` or `tenant CA <tenant>`"
    )]
    UnknownRole(String),
    /// A name in the CA certificate.
    #[error("CA certificate: {0}")]
    Name(#[from] NameError),
    /// This CA must not issue that.
    #[error("the {role} can't issue {wanted}: expected the {expected}")]
    WrongAuthority {
        /// What this CA is.
        role: Role,
        /// What it was asked for.
        wanted: String,
        /// Which one issues that.
        expected: &'static str,
    },
    /// A CA of another platform.
    #[error("a CA of {found}: expected one of {expected}, as this root is")]
    OtherPlatform {
        /// Whose CA it is.
        found: TrustDomain,
        /// Whose root this is.
        expected: TrustDomain,
    },
    /// Statements are the platform CA's.
    #[error("the {0} can't sign a statement of the platform: expected the platform CA")]
    Statement(Role),
    /// Not a usable request.
    #[error("certificate signing request: {0}")]
    Request(String),
    /// Longer than the profile allows.
    #[error("a certificate for {} s: expected at most {} s", found.as_secs(), max.as_secs())]
    Lifetime {
        /// What was asked for.
        found: Duration,
        /// The most there is.
        max: Duration,
    },
    /// The CA's own certificate doesn't cover the time.
    #[error("the {0}'s own certificate isn't valid now; renew it first")]
    AuthorityNotValid(Role),
    /// A common name has at most 64 characters (RFC 5280 appendix A).
    #[error(
        "the common name of {id} has {found} characters: expected at most 64; choose a shorter agent name or tenant"
    )]
    CommonNameTooLong {
        /// Whose.
        id: SpiffeId,
        /// How many.
        found: usize,
    },
    /// A web server's certificate needs names, and each must be one.
    #[error("web server name `{0}`: expected a DNS name or an IP address")]
    WebName(String),
}
