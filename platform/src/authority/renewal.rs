//! The next certificate: of an agent that a gateway has verified, of an agent whose certificate has expired and whose
//! recovery was approved, and of a gateway itself.

use picket_identity::name::GatewayName;
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify::RECOVERY_WINDOW;
use picket_issuing::PublicKey;
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::platform::v1::{RenewAgentRequest, RenewGatewayResponse};

use super::issuance::{Admitted, Ask, used_key};
use super::record::{Record, key_hash};
use super::step::{Cause, Refused, correlation_id};
use super::{Authority, AuthorityError, LEAF_LIFETIME, first_use, unix_time};
use crate::clock::UnixMs;
use crate::metrics::authority::{self as report, Attempt};
use crate::store::agents::Agent;
use crate::store::certificates::Certificate;
use crate::store::{self, Write, to_db};

/// Certificates of one gateway that were issued and never seen in use.
const MAX_PENDING: i64 = 4;

/// For so long after its end a certificate still opens the way to the next one, once a person has approved that.
#[must_use]
pub fn recovery_window_ms() -> i64 {
    i64::try_from(RECOVERY_WINDOW.as_millis()).unwrap_or(0)
}

/// Whether the certificate by which an agent was verified opens the way to the next one: a function of the certificate, of
/// what is asked for, and of the time.
///
/// # Errors
/// Why it doesn't.
pub fn may_renew(
    presented: &Certificate,
    is_recovery: bool,
    is_approved: bool,
    now: UnixMs,
) -> Result<(), Refused> {
    let serial = &presented.serial;
    if !presented.is_active() {
        return Err(Refused::new(
            Cause::NotVerified,
            format!(
                "the certificate {serial} is {}: expected one that is in use",
                presented.state
            ),
        ));
    }
    let has_expired = presented.not_after_at <= now;
    match (has_expired, is_recovery) {
        (false, false) => Ok(()),
        (false, true) => Err(Refused::new(
            Cause::NotAwaiting,
            format!("the certificate {serial} hasn't expired: the agent is polled and renewed as ever"),
        )),
        (true, false) => Err(Refused::new(
            Cause::NotVerified,
            format!(
                "the certificate {serial} has expired: an operator has to approve the agent's recovery with `platform agent \
                 approve`"
            ),
        )),
        (true, true) if now - presented.not_after_at > recovery_window_ms() => Err(Refused::new(
            Cause::NotVerified,
            format!(
                "the certificate {serial} expired more than 30 days ago: enrol the agent again, with `platform agent add \
                 --replace`"
            ),
        )),
        (true, true) if is_approved => Ok(()),
        (true, true) => Err(Refused::new(
            Cause::NotApproved,
            "no operator has approved the agent's recovery; `platform agent approve` does",
        )),
    }
}

impl Authority {
    /// Issues an agent's next certificate, pending; what was issued already, to the same key.
    ///
    /// # Errors
    /// [`AuthorityError`]: the platform can't tell now. A refusal is no error.
    pub async fn renew_agent(
        &self,
        gateway: &str,
        request: &RenewAgentRequest,
    ) -> Result<Result<IssuedCertificate, Refused>, AuthorityError> {
        let correlation_id = correlation_id(&request.correlation_id);
        let ask = Ask {
            attempt: Attempt {
                purpose: if request.recovery { "recover" } else { "renew" },
                gateway,
                tenant: &request.tenant,
                agent: &request.agent,
                correlation_id: &correlation_id,
            },
            instance: &request.instance,
            shard: i64::from(request.shard),
            epoch: to_db(request.epoch),
            csr: &request.csr,
        };
        let mut write = self.0.store.write().await?;
        let outcome = match self.admit(&mut write, &ask).await? {
            Err(refused) => Err(refused),
            Ok(admitted) => self.renew(&mut write, &ask, &admitted, request).await?,
        };
        self.conclude(write, &ask, outcome, None).await
    }

    async fn renew(
        &self,
        write: &mut Write,
        ask: &Ask<'_>,
        admitted: &Admitted,
        request: &RenewAgentRequest,
    ) -> Result<Result<Certificate, Refused>, AuthorityError> {
        let now = write.now();
        let Agent {
            tenant, name, pool, ..
        } = &admitted.agent;
        let serial = &request.presented_serial;
        let Some(presented) = store::certificates::find_of_agent(write, tenant, name, serial).await? else {
            return Ok(Err(Refused::new(
                Cause::NotVerified,
                format!("the certificate {serial:?} was never issued to this agent"),
            )));
        };
        let is_approved = admitted.agent.recovery_approved_at.is_some();
        if let Err(refused) = may_renew(&presented, request.recovery, is_approved, now) {
            // An agent that shows the certificate of its recovery has recovered.
            if refused.cause == Cause::NotAwaiting {
                first_use::of_agent(write, pool, tenant, name, &presented).await?;
            }
            return Ok(Err(refused));
        }
        first_use::of_agent(write, pool, tenant, name, &presented).await?;
        if let Some(before) = admitted.issued_before(write).await? {
            // The reply was lost.
            return Ok(if before.state == "pending" {
                Ok(before)
            } else {
                Err(used_key())
            });
        }
        let action = if request.recovery {
            "agent.recover"
        } else {
            "agent.renew"
        };
        Ok(Ok(self.issue(write, ask, admitted, action).await?))
    }

    /// Issues a gateway's own next certificate, pending; what was issued already, to the same key.
    ///
    /// # Errors
    /// [`AuthorityError`]: the request can't be used, or the gateway is registered no more.
    pub async fn renew_gateway(
        &self,
        gateway: &GatewayName,
        request: &[u8],
    ) -> Result<RenewGatewayResponse, AuthorityError> {
        let key = PublicKey::from_request(request)?;
        let name = gateway.as_str();
        let mut write = self.0.store.write().await?;
        let now = write.now();
        // Between the look at its certificate and this, it may have been revoked.
        store::gateways::find(&mut write, name)
            .await?
            .filter(|gateway| gateway.revoked_at.is_none())
            .ok_or_else(|| AuthorityError::NotFound {
                kind: "gateway",
                name: name.to_owned(),
            })?;
        let before =
            store::certificates::find_by_key(&mut write, "gateway", None, name, &key_hash(&key)).await?;
        let certificate = match before {
            Some(before) if before.state == "pending" => before,
            Some(_) => return Err(AuthorityError::Setting(used_key().detail)),
            None => self.issue_gateway(&mut write, gateway, &key).await?,
        };
        store::certificates::limit_pending(&mut write, "gateway", None, name, MAX_PENDING, now).await?;
        let issuer = store::authorities::find(&mut write, certificate.issuer_ca)
            .await?
            .ok_or_else(|| AuthorityError::NoAuthority("gateway".to_owned()))?;
        let trust = self.platform_trust(&mut write, name).await?;
        write.commit().await?;
        report::gateway_renewed(name, &certificate.serial);
        Ok(RenewGatewayResponse {
            leaf: certificate.certificate.into(),
            issuer: issuer.certificate.into(),
            trust: Some(trust),
        })
    }

    async fn issue_gateway(
        &self,
        write: &mut Write,
        gateway: &GatewayName,
        key: &PublicKey,
    ) -> Result<Certificate, AuthorityError> {
        let now = write.now();
        let (ca, authority) = self.issuer(write, "gateway", None).await?;
        let issued = authority.issue_gateway(key, gateway, LEAF_LIFETIME, unix_time(now))?;
        let id = SpiffeId::Gateway {
            platform: self.0.trust_domain.clone(),
            gateway: gateway.clone(),
        };
        let record = Record {
            issuer_ca: ca.id,
            subject_kind: "gateway",
            tenant: None,
            subject: gateway.as_str(),
            id: &id,
            key,
            state: "pending",
        };
        let row = record.insert(write, &issued).await?;
        let (actor, detail) = (format!("gateway {gateway}"), format!("serial {}", row.serial));
        store::audit::record(
            write,
            now,
            &actor,
            "gateway.renew",
            None,
            gateway.as_str(),
            &detail,
        )
        .await?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const END: UnixMs = 90 * DAY_MS;

    fn certificate(state: &str, retired_at: Option<UnixMs>) -> Certificate {
        Certificate {
            issuer_ca: 1,
            serial: "0a".into(),
            subject_kind: "agent".into(),
            tenant: Some("acme".into()),
            subject: "berlin-1".into(),
            spiffe_id: String::new(),
            certificate: Vec::new(),
            state: state.into(),
            not_before_at: 0,
            not_after_at: END,
            issued_at: 0,
            spki_sha256: None,
            superseded_at: retired_at,
            retired_at,
        }
    }

    fn cause(state: &str, is_recovery: bool, is_approved: bool, now: UnixMs) -> &'static str {
        match may_renew(&certificate(state, None), is_recovery, is_approved, now) {
            Ok(()) => "ok",
            Err(refused) => refused.cause.as_str(),
        }
    }

    #[test]
    fn a_certificate_that_is_in_use_is_renewed() {
        for state in ["current", "pending", "superseded"] {
            assert_eq!(cause(state, false, false, END - 1), "ok", "{state}");
        }
    }

    #[test]
    fn a_revoked_or_retired_one_renews_nothing() {
        assert_eq!(cause("revoked", false, true, 0), "not_verified");
        assert_eq!(cause("revoked", true, true, END), "not_verified");
        let retired = certificate("superseded", Some(5));
        assert!(may_renew(&retired, false, true, 6).is_err());
    }

    #[test]
    fn an_expired_one_renews_only_by_an_approved_recovery_within_30_days() {
        assert_eq!(cause("current", false, true, END), "not_verified");
        assert_eq!(cause("current", true, false, END), "not_approved");
        assert_eq!(cause("current", true, true, END), "ok");
        assert_eq!(cause("current", true, true, END + 30 * DAY_MS), "ok");
        assert_eq!(
            cause("current", true, true, END + 30 * DAY_MS + 1),
            "not_verified"
        );
    }

    #[test]
    fn what_hasnt_expired_isnt_recovered() {
        assert_eq!(cause("current", true, true, END - 1), "not_awaiting");
    }
}
