//! Agents' certificates that end soon raise an alert; it resolves when a new one is in place.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{Handler, Job, JobError, Outcome};
use crate::alerts::{self, Kind};
use crate::app::Services;
use crate::clock::UnixMs;
use crate::store;
use crate::store::alerts::Content;
use crate::store::certificates::Certificate;

/// The kind of this job.
pub const KIND: &str = "certificate-expiry";

const DAY_MS: i64 = 86_400_000;

/// How long before the end it warns. Agents are renewed at half of a certificate's life; what is left this late was
/// missed.
const WARN_MS: i64 = 14 * DAY_MS;

/// How long before the end it is critical.
const CRITICAL_MS: i64 = 3 * DAY_MS;

/// The job.
#[derive(Debug)]
pub struct CertificateExpiry;

#[async_trait]
impl Handler for CertificateExpiry {
    async fn run(&self, services: &Services, _job: &Job) -> Result<Outcome, JobError> {
        let mut write = services.store.write().await?;
        let now = write.now();
        let expiring = store::certificates::agents_expiring(&mut write, now + WARN_MS).await?;
        let mut events = Vec::new();
        let mut still = HashSet::new();
        for certificate in &expiring {
            let Some(tenant) = certificate.tenant.clone() else {
                continue;
            };
            let content = content(certificate, now);
            let subject = Kind::CertificateExpiring.subject(&tenant, &certificate.subject, "");
            events.extend(alerts::apply(&mut write, &subject, Some(content), now).await?);
            still.insert((tenant, certificate.subject.clone()));
        }
        for (tenant, agent, name) in
            store::alerts::open_of_kind(&mut write, Kind::CertificateExpiring.as_str()).await?
        {
            if !still.contains(&(tenant.clone(), agent.clone())) {
                let subject = Kind::CertificateExpiring.subject(&tenant, &agent, &name);
                events.extend(alerts::apply(&mut write, &subject, None, now).await?);
            }
        }
        write.commit().await?;
        events
            .into_iter()
            .for_each(|event| services.events.publish(event));
        Ok(Outcome::Done)
    }
}

fn content(certificate: &Certificate, now: UnixMs) -> Content {
    let left = certificate.not_after_at - now;
    let severity = if left <= CRITICAL_MS {
        "critical"
    } else {
        "warning"
    };
    let when = match left / DAY_MS {
        _ if left <= 0 => "has ended".to_owned(),
        0 => "ends within a day".to_owned(),
        1 => "ends in 1 day".to_owned(),
        days => format!("ends in {days} days"),
    };
    Content {
        severity,
        summary: format!(
            "the certificate {} of {} {when}",
            certificate.serial, certificate.subject
        ),
        cause: if left <= 0 { "expired" } else { "expiring" }.to_owned(),
    }
}
