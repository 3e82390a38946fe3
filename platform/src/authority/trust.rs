//! What agents and gateways are to trust, as the platform says it now. All of it has one sequence, which rises with every
//! change of authorities, roots and denied certificates.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use picket_identity::enrollment::fingerprint;
use picket_identity::name::TenantSlug;
use picket_identity::profile::SigningCertificate;
use picket_identity::trust_update::{CONTEXT, TrustStatement};
use picket_identity::verify::Denied;
use picket_issuing::days;
use picket_proto::agent::v1::TrustUpdate;
use picket_proto::platform::v1::PlatformTrust;
use rustls::pki_types::CertificateDer;

use super::{Authority, AuthorityError};
use crate::clock::UnixMs;
use crate::store::{self, Connection, from_db};

/// How long after its end a revoked certificate is still denied: an agent's clock may be behind.
const DENIED_AFTER_END_MS: i64 = days(7).as_millis() as i64;

/// The statements of the present sequence, each signed once: what is told twice is the same, byte by byte.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<HashMap<String, (i64, TrustUpdate)>>);

impl Statements {
    fn find(&self, tenant: &str, sequence: i64) -> Option<TrustUpdate> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(tenant)
            .filter(|(of, _)| *of == sequence)
            .map(|(_, update)| update.clone())
    }

    /// Keeps an update, and returns what is to be told: another caller may have signed the same at the same time.
    fn keep(&self, tenant: &str, sequence: i64, update: TrustUpdate) -> TrustUpdate {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(tenant) {
            Some((of, first)) if *of == sequence => return first.clone(),
            Some((of, _)) if *of > sequence => {}
            _ => {
                known.insert(tenant.to_owned(), (sequence, update.clone()));
            }
        }
        update
    }
}

impl Authority {
    /// The platform's root certificates.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn roots(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        self.trusted(connection, "root", None).await
    }

    /// What a tenant's agents are to trust, signed, and its sequence.
    ///
    /// # Errors
    /// [`AuthorityError`]: the platform CA's key can't be used.
    pub async fn agent_trust(
        &self,
        connection: &mut Connection,
        tenant: &str,
        now: UnixMs,
    ) -> Result<(TrustUpdate, u64), AuthorityError> {
        let sequence = store::installation::trust_sequence(connection).await?;
        if let Some(update) = self.0.statements.find(tenant, sequence) {
            return Ok((update, from_db(sequence)));
        }
        let slug: TenantSlug = tenant.parse()?;
        let roots = self.roots(connection).await?;
        let gateway_cas = self.trusted(connection, "gateway", None).await?;
        let denied = self.denied(connection, Some(tenant), now).await?;
        let statement = TrustStatement::new(
            self.0.trust_domain.clone(),
            slug,
            from_db(sequence),
            roots.iter().map(AsRef::as_ref),
            gateway_cas.iter().map(AsRef::as_ref),
            denied,
        )
        .to_bytes()?;
        let (_, signer) = self.issuer(connection, "platform", None).await?;
        let update = TrustUpdate {
            signature: signer.sign_statement(CONTEXT, &statement)?.into(),
            signer: signer.certificate_der().to_vec().into(),
            statement: statement.into(),
        };
        Ok((
            self.0.statements.keep(tenant, sequence, update),
            from_db(sequence),
        ))
    }

    /// What a gateway is to trust the platform by, and whether its own certificate has to be renewed now.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn platform_trust(
        &self,
        connection: &mut Connection,
        gateway: &str,
    ) -> Result<PlatformTrust, AuthorityError> {
        let sequence = store::installation::trust_sequence(connection).await?;
        let der = |cas: Vec<CertificateDer<'static>>| cas.into_iter().map(|ca| ca.to_vec().into()).collect();
        Ok(PlatformTrust {
            sequence: from_db(sequence),
            roots: der(self.roots(connection).await?),
            platform_cas: der(self.trusted(connection, "platform", None).await?),
            renew: !store::certificates::has_lasting(connection, "gateway", None, gateway).await?,
        })
    }

    /// The certificates of gateways that count no more: those for a tenant's agents, or those for the platform.
    pub(super) async fn denied(
        &self,
        connection: &mut Connection,
        tenant: Option<&str>,
        now: UnixMs,
    ) -> Result<Vec<Denied>, AuthorityError> {
        let rows =
            store::certificates::denied_gateways(connection, tenant, now - DENIED_AFTER_END_MS).await?;
        let denied = |(issuer, serial): (Vec<u8>, String)| {
            let wrong = |what: &str| AuthorityError::Registry(format!("{what} of a revoked certificate"));
            let issuer = SigningCertificate::parse(&issuer).map_err(|_| wrong("the issuer"))?;
            Ok(Denied {
                issuer: fingerprint(&issuer.spki)
                    .parse()
                    .map_err(|_| wrong("the issuer"))?,
                serial: serial.parse().map_err(|_| wrong("the serial number"))?,
            })
        };
        rows.into_iter().map(denied).collect()
    }
}
