//! Brings agents what they are to trust. The platform has signed it and the agent verifies that: a courier can neither
//! change a word nor bring an old one back.

use picket_proto::agent::v1::trust_client::TrustClient;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::exchange::{of_call, shown};
use super::{Cause, Step, Trouble};
use crate::assignment::AgentTrust;
use crate::poll::round::CALL_DEADLINE;

/// Hands the statement over. Returns the sequence of the one that the agent goes by now.
pub(crate) async fn deliver(channel: Channel, trust: &AgentTrust) -> Result<u64, Trouble> {
    let mut client = TrustClient::new(channel);
    let state = timeout(CALL_DEADLINE, client.update(trust.update.clone()))
        .await
        .map_err(|_| Trouble::new(Step::Update, Cause::Timeout, "the agent gave no answer"))?
        .map_err(|status| refused(&status))?
        .into_inner();
    if state.sequence < trust.sequence {
        let detail = format!(
            "the agent goes by statement {} still, expected {}",
            state.sequence, trust.sequence
        );
        return Err(Trouble::new(Step::Update, Cause::BadTrust, detail));
    }
    Ok(state.sequence)
}

/// An agent that can't make anything of it says so by its status; one that can't be asked is another matter.
fn refused(status: &Status) -> Trouble {
    let is_refusal = matches!(
        status.code(),
        Code::InvalidArgument | Code::FailedPrecondition | Code::PermissionDenied
    );
    if !is_refusal {
        return of_call(Step::Update, status);
    }
    let detail = format!("the agent refuses it: {}", shown(status.message()));
    Trouble::new(Step::Update, Cause::BadTrust, detail)
}
