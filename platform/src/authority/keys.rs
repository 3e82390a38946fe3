//! The key folder: one key and one certificate file for each authority.

use std::path::{Path, PathBuf};

use picket_identity::name::TenantSlug;
use picket_issuing::{CertificateAuthority, IssueError};

use crate::store::authorities::Ca;

/// A folder that only its owner can enter.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The folder at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Writes an authority's key and certificate, and returns what the database is to know the key by.
    ///
    /// # Errors
    /// [`IssueError`]: the folder can't be written, or is open to others.
    pub fn store(
        &self,
        kind: &str,
        tenant: Option<&TenantSlug>,
        authority: &CertificateAuthority,
    ) -> Result<String, IssueError> {
        // Named by chance too, so that a new authority of the same kind never writes over the old one's key.
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let name = match tenant {
            Some(tenant) => format!("{kind}-{tenant}-{unique}"),
            None => format!("{kind}-{unique}"),
        };
        authority.store(
            &self.0.join(format!("{name}.key")),
            &self.0.join(format!("{name}.pem")),
        )?;
        Ok(name)
    }

    /// Reads an authority's key. Its certificate is the database's.
    ///
    /// # Errors
    /// [`IssueError`]: the key isn't here, is open to others, or is another's.
    pub fn load(&self, ca: &Ca) -> Result<CertificateAuthority, IssueError> {
        let key = self.0.join(format!("{}.key", ca.key_ref));
        CertificateAuthority::load(&key, &self.0.join(format!("{}.pem", ca.key_ref)))
    }
}
