//! How what was issued is registered.

use aws_lc_rs::digest::{SHA256, digest};
use picket_identity::spiffe::SpiffeId;
use picket_issuing::{Issued, PublicKey};

use super::{AuthorityError, unix_ms};
use crate::store::certificates::Certificate;
use crate::store::{self, Write};

/// What a public key is remembered by.
pub(super) fn key_hash(key: &PublicKey) -> Vec<u8> {
    digest(&SHA256, key.spki()).as_ref().to_vec()
}

/// To whom something was issued, and by whom.
pub(super) struct Record<'a> {
    /// The authority.
    pub(super) issuer_ca: i64,
    /// `agent` or `gateway`.
    pub(super) subject_kind: &'a str,
    /// Whose agent, or for which tenant's agents.
    pub(super) tenant: Option<&'a str>,
    /// The name.
    pub(super) subject: &'a str,
    /// The SPIFFE ID.
    pub(super) id: &'a SpiffeId,
    /// The key that it is for.
    pub(super) key: &'a PublicKey,
    /// `pending` or `current`.
    pub(super) state: &'a str,
}

impl Record<'_> {
    /// Registers it.
    pub(super) async fn insert(
        &self,
        write: &mut Write,
        issued: &Issued,
    ) -> Result<Certificate, AuthorityError> {
        let row = Certificate {
            issuer_ca: self.issuer_ca,
            serial: issued.serial.to_string(),
            subject_kind: self.subject_kind.to_owned(),
            tenant: self.tenant.map(str::to_owned),
            subject: self.subject.to_owned(),
            spiffe_id: self.id.to_string(),
            certificate: issued.certificate.to_vec(),
            state: self.state.to_owned(),
            not_before_at: unix_ms(issued.not_before),
            not_after_at: unix_ms(issued.not_after),
            issued_at: write.now(),
            spki_sha256: Some(key_hash(self.key)),
            superseded_at: None,
            retired_at: None,
        };
        store::certificates::insert(write, &row).await?;
        Ok(row)
    }
}
