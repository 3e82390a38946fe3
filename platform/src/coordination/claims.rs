//! What a gateway says about its agents. A claim counts only under the shard's present owner, process and epoch; that is
//! checked in the transaction that writes it.

use picket_identity::Serial;
use picket_identity::verify::Reason;
use picket_proto::platform::v1::{Reachability, ReachabilityClaim};

use crate::alerts::{self, Kind};
use crate::app::Services;
use crate::authority::first_use;
use crate::events::Event;
use crate::metrics::coordination as report;
use crate::store::alerts::Content;
use crate::store::reach::Claim;
use crate::store::{self, StoreError, Write, to_db};

/// The longest text of a claim that is kept.
const MAX_TEXT: usize = 1_000;

/// The word for a state; `None` for one that says nothing.
#[must_use]
pub const fn state_word(state: Reachability) -> Option<&'static str> {
    match state {
        Reachability::Unspecified => None,
        Reachability::Pending => Some("pending"),
        Reachability::Reachable => Some("reachable"),
        Reachability::Suspect => Some("suspect"),
        Reachability::Unreachable => Some("unreachable"),
    }
}

/// Reads [`state_word`]'s word.
#[must_use]
pub fn state_of_word(word: &str) -> Reachability {
    match word {
        "pending" => Reachability::Pending,
        "reachable" => Reachability::Reachable,
        "suspect" => Reachability::Suspect,
        "unreachable" => Reachability::Unreachable,
        _ => Reachability::Unspecified,
    }
}

/// Which alerts an agent's reachability wants: about nobody answering, and about somebody else answering.
#[must_use]
pub fn wanted(
    state: &str,
    cause: &str,
    is_refusal: bool,
    agent: &str,
    detail: &str,
) -> Option<(Kind, Content)> {
    if state != "unreachable" {
        return None;
    }
    let (kind, what) = if is_refusal {
        (
            Kind::AgentRefused,
            "refused: what answers at its address is not this agent",
        )
    } else {
        (Kind::AgentUnreachable, "unreachable")
    };
    let detail = if detail.is_empty() { cause } else { detail };
    let summary = format!("{agent} is {what} ({cause}): {detail}");
    Some((
        kind,
        Content {
            severity: "critical",
            summary,
            cause: cause.to_owned(),
        },
    ))
}

/// Writes the claims of a gateway's process. Those under an old epoch change nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn take(
    services: &Services,
    gateway: &str,
    instance: &str,
    pool: &str,
    claims: &[ReachabilityClaim],
) -> Result<(), StoreError> {
    let mut write = services.store.write().await?;
    let mut events = Vec::new();
    let mut outcomes = Vec::with_capacity(claims.len());
    for claim in claims {
        let written = one(&mut write, gateway, instance, pool, claim).await?;
        outcomes.push(written.is_some());
        events.extend(written.into_iter().flatten());
    }
    write.commit().await?;
    outcomes.into_iter().for_each(report::claimed);
    events
        .into_iter()
        .for_each(|event| services.events.publish(event));
    Ok(())
}

async fn one(
    write: &mut Write,
    gateway: &str,
    instance: &str,
    pool: &str,
    claim: &ReachabilityClaim,
) -> Result<Option<Vec<Event>>, StoreError> {
    let (tenant, agent) = (claim.tenant.as_str(), claim.agent.as_str());
    let Some(state) = state_word(claim.state()) else {
        return Ok(None);
    };
    let Some(registered) = store::agents::find(write, tenant, agent).await? else {
        return Ok(None);
    };
    let shard = i64::from(claim.shard);
    let epoch = to_db(claim.epoch);
    let is_its_shard = registered.pool == pool && registered.shard == shard;
    if !is_its_shard || !store::shards::is_owned(write, pool, shard, gateway, instance, epoch).await? {
        return Ok(None);
    }
    // While a gateway doesn't know yet; and a deleted tenant's data isn't to grow again while it is removed.
    if !store::tenants::is_active(write, tenant).await? {
        return Ok(None);
    }
    let now = write.now();
    let serial = sound(&claim.certificate_serial);
    if let Some(seen) = store::certificates::find_of_agent(write, tenant, agent, serial).await? {
        first_use::of_agent(write, pool, tenant, agent, &seen).await?;
    }
    // Nobody misses an agent that isn't there yet.
    let state = match state {
        "suspect" | "unreachable" if store::activations::is_awaited(write, tenant, agent).await? => "pending",
        state => state,
    };
    let before = store::reach::find(write, tenant, agent).await?;
    let since_at = match before.filter(|before| before.state == state) {
        Some(before) => before.since_at,
        // A gateway's clock may be wrong: nothing began in the future.
        None if claim.since_unix_ms == 0 => now,
        None => to_db(claim.since_unix_ms).min(now),
    };
    let (cause, detail) = (shortened(&claim.cause), shortened(&claim.detail));
    let row = Claim {
        tenant,
        agent,
        state,
        cause,
        detail,
        since_at,
        gateway,
        epoch,
        clock_skew_ms: claim.clock_skew_ms,
        agent_version: shortened(&claim.agent_version),
        spool: claim
            .spool
            .as_ref()
            .map(|spool| (to_db(spool.bytes), to_db(spool.quota_bytes), to_db(spool.dropped))),
        certificate_serial: serial,
        trust_sequence: to_db(claim.trust_sequence),
    };
    store::reach::upsert(write, &row, now).await?;
    let mut events = vec![Event::agent(tenant, agent, now)];
    // Suspicion and waiting are no news yet: what is open stays open until the agent is reached.
    if state == "reachable" || state == "unreachable" {
        let wanted = wanted(state, cause, is_refusal(cause), agent, detail);
        for kind in [Kind::AgentUnreachable, Kind::AgentRefused] {
            let content = wanted
                .as_ref()
                .filter(|(wanted, _)| *wanted == kind)
                .map(|(_, content)| content.clone());
            events.extend(alerts::apply(write, &kind.subject(tenant, agent, ""), content, now).await?);
        }
    }
    Ok(Some(events))
}

/// Whether a cause is one of the identity verifier's reasons. `protocol` is also what a gateway says of broken talk with
/// the right agent.
fn is_refusal(cause: &str) -> bool {
    Reason::ALL
        .iter()
        .any(|reason| reason.as_str() == cause && *reason != Reason::Protocol)
}

/// A serial number of ours; empty where it is none. Others would name no certificate anyway.
fn sound(serial: &str) -> &str {
    if serial.parse::<Serial>().is_ok() {
        serial
    } else {
        ""
    }
}

fn shortened(text: &str) -> &str {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_nobody_gets_through_to_is_unreachable() {
        let (kind, content) =
            wanted("unreachable", "timeout", is_refusal("timeout"), "berlin-1", "").unwrap();
        assert_eq!(kind, Kind::AgentUnreachable);
        assert_eq!(content.cause, "timeout");
    }

    #[test]
    fn a_wrong_identity_at_the_agents_address_is_refused() {
        let (kind, _) = wanted(
            "unreachable",
            "wrong_tenant",
            is_refusal("wrong_tenant"),
            "berlin-1",
            "",
        )
        .unwrap();
        assert_eq!(kind, Kind::AgentRefused);
    }

    #[test]
    fn suspicion_wants_no_alert() {
        assert_eq!(wanted("suspect", "timeout", false, "berlin-1", ""), None);
    }
}
