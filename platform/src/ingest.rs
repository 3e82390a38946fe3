//! Sealed batches in.
//!
//! - [`seal`]: is the batch what it claims to be? Header, signature, digest and declared size first; only then is it
//!   opened, under a hard limit.
//! - [`cursor`]: does it follow what the platform has? A pure function.
//! - [`state`]: what do its results change? A pure function.
//! - [`commit`]: all of it in one transaction, whose cursor moves by compare-and-swap.
//! - [`lane`]: several batches in one commit; answers only after it.
//! - [`service`]: the gRPC face.

pub mod commit;
pub mod cursor;
pub mod lane;
pub mod seal;
pub mod service;
pub mod state;

use picket_proto::agent::v1::SealedBatch;
use picket_proto::platform::v1::{SubmitOutcome, SubmitRequest};

use crate::app::Services;
use crate::authority::first_use::SUPERSEDED_GRACE_MS;
use crate::clock::UnixMs;
use crate::metrics::ingest as report;
use crate::store::certificates::Certificate;
use crate::store::{self, StoreError};

pub use lane::Lane;

/// How long an ended certificate's signature is still taken: a platform that was down for a day must not refuse what was
/// sealed before.
pub const ENDED_GRACE_MS: i64 = 24 * 3_600_000;

/// A batch that is what it claims to be, and under whose ownership it was handed in.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The gateway, as its certificate says.
    pub gateway: String,
    /// Its process.
    pub instance: String,
    /// Whose agent.
    pub tenant: String,
    /// Which.
    pub agent: String,
    /// The shard and epoch under which the gateway owns it.
    pub shard: i64,
    /// See `shard`.
    pub epoch: i64,
    /// The batch as it came, and what is in it.
    pub batch: SealedBatch,
    /// What is in it.
    pub opened: seal::Opened,
}

impl Submission {
    /// How many bytes will be written for it, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.batch.payload.len() + self.batch.header.len()
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What.
    pub outcome: SubmitOutcome,
    /// The platform's stream for the agent after this.
    pub stream: String,
    /// The platform's cursor in it after this.
    pub committed_seq: u64,
    /// For people, where it was refused.
    pub detail: String,
}

impl Answer {
    /// An answer that says nothing about the cursor.
    #[must_use]
    pub fn without_cursor(outcome: SubmitOutcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            stream: String::new(),
            committed_seq: 0,
            detail: detail.into(),
        }
    }

    /// Nothing was stored, and nothing ever will be of this batch.
    #[must_use]
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::without_cursor(SubmitOutcome::Refused, detail)
    }
}

/// Why a certificate's signature counts no more; `None` where it does.
#[must_use]
pub fn certificate_problem(certificate: &Certificate, now: UnixMs) -> Option<String> {
    let serial = &certificate.serial;
    match certificate.state.as_str() {
        "revoked" => return Some(format!("the certificate {serial} that signed it was revoked")),
        "superseded" if certificate.superseded_at.unwrap_or(0) + SUPERSEDED_GRACE_MS <= now => {
            return Some(format!(
                "the certificate {serial} that signed it was superseded too long ago"
            ));
        }
        _ => {}
    }
    (certificate.not_after_at + ENDED_GRACE_MS < now)
        .then(|| format!("the certificate {serial} that signed it has ended"))
}

/// Checks a request of a gateway and opens its batch. What isn't what it claims to be comes back as the answer to it.
///
/// # Errors
/// [`StoreError`].
pub async fn admit(
    services: &Services,
    gateway: &str,
    request: SubmitRequest,
) -> Result<Result<Submission, Answer>, StoreError> {
    let SubmitRequest {
        tenant,
        agent,
        shard,
        epoch,
        instance,
        batch,
        ..
    } = request;
    let refuse = |detail: String| {
        report::refused(gateway, &tenant, &agent, &detail);
        Ok(Err(Answer::refused(detail)))
    };
    let Some(batch) = batch else {
        return refuse("there is no batch in it".to_owned());
    };
    let header = match seal::header(&batch) {
        Ok(header) => header,
        Err(error) => return refuse(error.to_string()),
    };
    let now = services.store.now().await?;
    let mut read = services.store.read().await?;
    let Some(registered) = store::agents::find(&mut read, &tenant, &agent).await? else {
        return refuse("there is no such agent".to_owned());
    };
    if header.spiffe_id != registered.spiffe_id {
        return refuse(format!(
            "it was sealed by {:?}, expected {:?}",
            header.spiffe_id, registered.spiffe_id
        ));
    }
    let serial = &header.certificate_serial;
    let Some(certificate) = store::certificates::find_of_agent(&mut read, &tenant, &agent, serial).await?
    else {
        return refuse(format!(
            "the certificate {serial:?} that signed it was never issued to this agent"
        ));
    };
    drop(read);
    if let Some(problem) = certificate_problem(&certificate, now) {
        return refuse(problem);
    }
    let opened = seal::verify_and_open(batch.clone(), header, certificate.certificate).await;
    match opened {
        Ok(opened) => Ok(Ok(Submission {
            gateway: gateway.to_owned(),
            instance,
            tenant,
            agent,
            shard: i64::from(shard),
            epoch: store::to_db(epoch),
            batch,
            opened,
        })),
        Err(error) => refuse(error.to_string()),
    }
}
