//! An agent that has a certificate, and gets the next one: beside the polls on a connection on which it was verified, or,
//! where its certificate has expired and an operator approved it, on one that is good for nothing else.

use picket_identity::Serial;
use picket_identity::connect::{DialLimits, connect};
use picket_identity::tls::gateway_recovering_agent;
use picket_identity::verify::RecoveryExpectation;
use picket_proto::agent::v1::renew_request::Kind;
use picket_proto::agent::v1::renewal_client::RenewalClient;
use picket_proto::agent::v1::{RenewBegin, RenewRequest};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::exchange::{Exchange, MAX_MESSAGE, Renewing, of_call};
use super::issuer::Issuer;
use super::{Attempt, Cause, OnIssued, Step, Trouble};
use crate::assignment::Assigned;
use crate::credentials::TenantCredential;
use crate::poll::dial;
use crate::poll::round::CALL_DEADLINE;

/// Renews the certificate of the agent that was verified by `presented` on this channel.
pub(crate) async fn renew(
    assigned: &Assigned,
    channel: Channel,
    presented: &Serial,
    issuer: &Issuer,
    attempt: &Attempt,
    on_issued: OnIssued<'_>,
) -> Result<Serial, Trouble> {
    run(assigned, channel, (presented, false), issuer, attempt, on_issued).await
}

/// Dials an agent whose certificate may have expired, for nothing but the next one.
pub(crate) async fn recover(
    assigned: &Assigned,
    credential: &TenantCredential,
    issuer: &Issuer,
    dials: &Semaphore,
    attempt: &Attempt,
    on_issued: OnIssued<'_>,
) -> Result<Serial, Trouble> {
    let expected = dial::expectation(assigned).map_err(|failure| Trouble::of(Step::Dial, failure))?;
    let tls = gateway_recovering_agent(credential.credential(), RecoveryExpectation(expected))
        .map_err(|error| Trouble::of(Step::Dial, dial::own_fault(&error)))?;
    let permit = dials.acquire().await;
    let connection = connect(&assigned.endpoint, &tls, &DialLimits::default()).await;
    drop(permit);
    let connection = connection.map_err(|error| Trouble::of(Step::Dial, dial::of_dial(&error)))?;
    let presented = connection.verified.serial().clone();
    let channel = connection.channel.clone();
    run(assigned, channel, (&presented, true), issuer, attempt, on_issued).await
}

async fn run(
    assigned: &Assigned,
    channel: Channel,
    (presented, recovery): (&Serial, bool),
    issuer: &Issuer,
    attempt: &Attempt,
    on_issued: OnIssued<'_>,
) -> Result<Serial, Trouble> {
    let _place = issuer.place_to_renew().await;
    let (outbound, requests) = mpsc::channel(4);
    let begin = RenewRequest {
        kind: Some(Kind::Begin(RenewBegin {
            correlation_id: attempt.correlation_id.to_string(),
        })),
    };
    // The channel is empty: this doesn't wait.
    let _ = outbound.send(begin).await;
    let mut client = RenewalClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let inbound = timeout(CALL_DEADLINE, client.renew(ReceiverStream::new(requests)))
        .await
        .map_err(|_| Trouble::new(Step::Proof, Cause::Timeout, "the agent doesn't answer the call"))?
        .map_err(|status| of_call(Step::Proof, &status))?
        .into_inner();
    let exchange = Exchange::<Renewing>::new(outbound, inbound);
    let issue = |proof| issuer.renew(assigned, attempt, proof, presented, recovery);
    exchange.conclude(issue, on_issued).await
}
