//! One verified connection to an agent, kept from poll to poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use picket_identity::Serial;
use picket_identity::connect::Connection as Dialled;
use picket_identity::verify::{Reason, Verified};
use picket_proto::agent::v1::agent_client::AgentClient;
use picket_proto::agent::v1::{DescribeRequest, DescribeResponse, SpoolStatus};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use super::dial;
use super::failure;
use super::frame::FRAME_ROOM;
use super::round::{CALL_DEADLINE, MAX_PAYLOAD};
use crate::assignment::Assigned;
use crate::clock::unix_ms;
use crate::credentials::TenantCredential;
use crate::reachability::{Cause, Failure};
use crate::telemetry;

/// Larger than any batch that is asked for, and than the description of an agent with a thousand checks.
const MAX_MESSAGE: usize = MAX_PAYLOAD + FRAME_ROOM + 512 * 1024;

/// What is known about the agent at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The agent host's version.
    pub(crate) version: String,
    /// Its clock less ours.
    pub(crate) clock_skew_ms: i64,
    /// Its spool.
    pub(crate) spool: Option<SpoolStatus>,
}

/// What polls and everything beside them share: the verified connection itself.
#[derive(Debug)]
pub(crate) struct Wire {
    dialled: Dialled,
    /// Our own certificate's, as the agent knows it.
    own_serial: Serial,
    /// The trust statement that the agent goes by, as it said last.
    trust_sequence: AtomicU64,
}

impl Wire {
    /// For a call.
    pub(crate) fn channel(&self) -> Channel {
        self.dialled.channel.clone()
    }

    /// Who is at the other end.
    pub(crate) fn verified(&self) -> &Verified {
        &self.dialled.verified
    }

    /// The trust statement that the agent goes by.
    pub(crate) fn trust_sequence(&self) -> u64 {
        self.trust_sequence.load(Ordering::Relaxed)
    }

    /// The agent said that it goes by another one.
    pub(super) fn trusts(&self, sequence: u64) {
        self.trust_sequence.store(sequence, Ordering::Relaxed);
    }

    /// Ends it at once: every call on it fails.
    pub(super) fn cut(&self) {
        self.dialled.cut();
    }

    /// Whether it is there (it is cut when the agent's certificate expires), and was made with this certificate of ours.
    pub(super) fn is_current(&self, credential: &TenantCredential) -> bool {
        !self.dialled.is_closed() && self.own_serial == *credential.serial()
    }
}

/// A verified connection, as the polls use it.
#[derive(Debug)]
pub(crate) struct Connection {
    client: AgentClient<Channel>,
    wire: Arc<Wire>,
    round_trip: Duration,
    facts: Facts,
    is_kept: bool,
}

impl Connection {
    /// Dials the agent, verifies it, and asks it to describe itself. At most as many dials are in flight as `dials` has
    /// permits.
    ///
    /// # Errors
    /// What that says about the agent.
    pub(crate) async fn open(
        assigned: &Assigned,
        credential: &TenantCredential,
        dials: &Semaphore,
    ) -> Result<Self, Failure> {
        let permit = dials.acquire().await;
        let opened = Self::open_at_once(assigned, credential).await;
        drop(permit);
        telemetry::dialled(match &opened {
            Ok(_) => "ok",
            Err(failure) => failure.cause.as_str(),
        });
        opened
    }

    async fn open_at_once(assigned: &Assigned, credential: &TenantCredential) -> Result<Self, Failure> {
        let dialled = dial::agent(assigned, credential).await?;
        let mut client = AgentClient::new(dialled.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let (description, answered_at, round_trip) = describe(&mut client).await?;
        let expected = assigned.spiffe_id.to_string();
        if description.spiffe_id != expected {
            // Its certificate is right: the agent host has another identity in its configuration than in its hand.
            let got: String = description
                .spiffe_id
                .chars()
                .take(120)
                .flat_map(char::escape_default)
                .collect();
            let detail =
                format!("it describes itself as `{got}`, expected `{expected}`, as in its certificate");
            return Err(Failure::new(Cause::Identity(Reason::WrongAgent), detail));
        }
        let mut connection = Self {
            client,
            wire: Arc::new(Wire {
                dialled,
                own_serial: credential.serial().clone(),
                trust_sequence: AtomicU64::new(description.trust_sequence),
            }),
            round_trip,
            facts: Facts {
                version: description.version,
                ..Facts::default()
            },
            is_kept: false,
        };
        connection.note(description.now_unix_ms, answered_at, description.spool);
        Ok(connection)
    }

    /// The connection itself.
    pub(crate) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Whether it was used in an earlier poll.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Puts it away until the next poll.
    pub(super) fn keep(mut self) -> Self {
        self.is_kept = true;
        self
    }

    pub(super) fn client(&mut self) -> &mut AgentClient<Channel> {
        &mut self.client
    }

    /// Who is at the other end.
    pub(crate) fn verified(&self) -> &Verified {
        self.wire.verified()
    }

    /// What is known about the agent.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The time from a question to its answer.
    pub(crate) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Takes in what the agent said of its clock and its spool in an answer that came at `received_at`.
    pub(super) fn note(&mut self, agent_unix_ms: u64, received_at: u64, spool: Option<SpoolStatus>) {
        // The agent looked at its clock half a round trip ago.
        let half = u64::try_from(self.round_trip.as_millis() / 2).unwrap_or(0);
        self.facts.clock_skew_ms = clock_skew_ms(agent_unix_ms, received_at.saturating_sub(half));
        self.facts.spool = spool.or_else(|| self.facts.spool.take());
    }
}

/// Asks the agent to describe itself; also returns when the answer came, and how long it took.
async fn describe(client: &mut AgentClient<Channel>) -> Result<(DescribeResponse, u64, Duration), Failure> {
    let asked_at = Instant::now();
    let described = timeout(CALL_DEADLINE, client.describe(DescribeRequest {}))
        .await
        .map_err(|_| failure::no_answer("Describe", CALL_DEADLINE))?
        .map_err(|status| failure::of_call("Describe", &status))?;
    Ok((described.into_inner(), unix_ms(), asked_at.elapsed()))
}

/// The difference of an agent's clock from ours, in milliseconds: positive where the agent's is ahead.
fn clock_skew_ms(agent_unix_ms: u64, ours_unix_ms: u64) -> i64 {
    let difference = i128::from(agent_unix_ms) - i128::from(ours_unix_ms);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_positive_where_the_agent_is_ahead() {
        assert_eq!(clock_skew_ms(1_500, 1_000), 500);
        assert_eq!(clock_skew_ms(1_000, 1_500), -500);
        assert_eq!(clock_skew_ms(u64::MAX, 0), i64::MAX);
        assert_eq!(clock_skew_ms(0, u64::MAX), i64::MIN);
    }
}
