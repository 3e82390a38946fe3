//! An agent that awaits enrolment: it has no certificate to verify it by.
//!
//! Whoever answers is a stranger until its proof has been verified, and gets nothing but the question. The proof is tied to
//! this very connection by what this gateway computes itself: somebody in between has two connections, and so no proof
//! that is worth anything on ours. The platform verifies it; this gateway can't even be talked into believing it.

use picket_identity::Serial;
use picket_identity::connect::{DialLimits, connect_for_enrollment};
use picket_identity::tls::EnrollmentTls;
use picket_proto::agent::v1::enroll_request::Kind;
use picket_proto::agent::v1::enrollment_client::EnrollmentClient;
use picket_proto::agent::v1::{EnrollBegin, EnrollRequest};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::exchange::{Enrolling, Exchange, MAX_MESSAGE, of_call};
use super::issuer::Issuer;
use super::{Attempt, Cause, OnIssued, Step, Trouble};
use crate::assignment::Assigned;
use crate::credentials::TenantCredential;
use crate::poll::dial;
use crate::poll::round::CALL_DEADLINE;
use crate::telemetry;

/// Enrols the agent at the assigned endpoint. At most as many are dialled as `dials` has permits: agents that nobody has
/// started yet must not take the places of those that run.
pub(crate) async fn enroll(
    assigned: &Assigned,
    credential: &TenantCredential,
    issuer: &Issuer,
    dials: &Semaphore,
    attempt: &Attempt,
    on_issued: OnIssued<'_>,
) -> Result<Serial, Trouble> {
    let tls = EnrollmentTls::new(credential.credential())
        .map_err(|error| Trouble::of(Step::Dial, dial::own_fault(&error)))?;
    let permit = dials.acquire().await;
    let connection = connect_for_enrollment(&assigned.endpoint, &tls, &DialLimits::default()).await;
    drop(permit);
    let connection = connection.map_err(|error| Trouble::of(Step::Dial, dial::of_dial(&error)))?;
    telemetry::enrolment_dialled(&assigned.key, &attempt.correlation_id, connection.address);

    let _place = issuer.place_to_enroll().await;
    let (outbound, requests) = mpsc::channel(4);
    let begin = EnrollRequest {
        kind: Some(Kind::Begin(EnrollBegin {
            correlation_id: attempt.correlation_id.to_string(),
            spiffe_id: assigned.spiffe_id.to_string(),
        })),
    };
    // The channel is empty: this doesn't wait.
    let _ = outbound.send(begin).await;
    let mut client = EnrollmentClient::new(connection.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
    let call = client.enroll(ReceiverStream::new(requests));
    let inbound = timeout(CALL_DEADLINE, call)
        .await
        .map_err(|_| Trouble::new(Step::Proof, Cause::Timeout, "the agent doesn't answer the call"))?
        .map_err(|status| of_call(Step::Proof, &status))?
        .into_inner();
    let exchange = Exchange::<Enrolling>::new(outbound, inbound);
    let issue = |proof| issuer.enroll(assigned, attempt, proof, &connection.binding);
    exchange.conclude(issue, on_issued).await
}
