//! What is known about an authority, read from the database.

use picket_issuing::days;

use super::decision::{Facts, State};
use crate::authority::AuthorityError;
use crate::clock::UnixMs;
use crate::store::authorities::Ca;
use crate::store::{self, Connection};

/// An agent whose certificate has ended can come back for so long, if an operator approves.
const RECOVERY_MS: i64 = days(30).as_millis() as i64;

/// Whether two authorities are of one kind, and of one tenant.
pub(super) fn is_same(one: &Ca, other: &Ca) -> bool {
    one.kind == other.kind && one.tenant == other.tenant
}

/// The one that issues: the newest active one.
pub(super) fn issuer<'a>(all: &'a [Ca], like: &Ca) -> Option<&'a Ca> {
    all.iter()
        .filter(|ca| is_same(ca, like) && ca.state == "active")
        .max_by_key(|ca| ca.id)
}

/// Whether something of an authority is still to come by itself.
pub(super) fn is_under_way(all: &[Ca], ca: &Ca) -> bool {
    match State::of_word(&ca.state) {
        State::Prepared | State::Retiring => true,
        State::Active => issuer(all, ca).is_some_and(|issuer| issuer.id != ca.id),
        State::Revoked => false,
    }
}

/// What is known about `ca`, which is one of `all`. `has_key`: whether its key is in the key folder.
pub(super) async fn read(
    connection: &mut Connection,
    ca: &Ca,
    all: &[Ca],
    has_key: bool,
    now: UnixMs,
) -> Result<Facts, AuthorityError> {
    let state = State::of_word(&ca.state);
    let successor = issuer(all, ca).filter(|issuer| issuer.id != ca.id);
    let mut facts = Facts {
        not_after_at: ca.not_after_at,
        successor_since: successor.map(|successor| successor.changed_at),
        ..Facts::default()
    };
    match (state, successor) {
        (State::Prepared, _) => {
            facts.behind = behind(connection, ca, now).await?;
            facts.blocked = blocked(ca, all, has_key);
        }
        (State::Retiring, Some(successor)) => {
            facts.behind = behind(connection, successor, now).await?;
            facts.holders = holders(connection, ca, all, now).await?;
        }
        _ => {}
    }
    Ok(facts)
}

/// Who has to know an authority, and goes by a trust from before it.
async fn behind(connection: &mut Connection, ca: &Ca, now: UnixMs) -> Result<Vec<String>, AuthorityError> {
    let sequence = ca.trusted_from;
    let (agents, gateways, only_live) = match ca.kind.as_str() {
        // Gateways verify agents; one that isn't there learns of it when it joins.
        "tenant" => (false, true, true),
        "gateway" => (true, false, false),
        "platform" => (false, true, false),
        _ => (true, true, false),
    };
    let mut names = Vec::new();
    if agents {
        let behind = store::rotation::agents_behind(connection, sequence, now - RECOVERY_MS).await?;
        names.extend(
            behind
                .into_iter()
                .map(|(tenant, agent)| format!("{tenant}/{agent}")),
        );
        let files = store::rotation::files_behind(connection, ca.created_at, now).await?;
        let named = |(tenant, agent): (String, String)| format!("{tenant}/{agent} (by its enrolment file)");
        names.extend(files.into_iter().map(named));
    }
    if gateways {
        let behind = store::rotation::gateways_behind(connection, sequence, only_live, now).await?;
        names.extend(behind.into_iter().map(|gateway| format!("gateway {gateway}")));
    }
    Ok(names)
}

async fn holders(
    connection: &mut Connection,
    ca: &Ca,
    all: &[Ca],
    now: UnixMs,
) -> Result<Vec<String>, AuthorityError> {
    if ca.kind == "root" {
        let below = all.iter().filter(|below| {
            below.issuer == Some(ca.id) && below.state != "revoked" && below.not_after_at > now
        });
        return Ok(below.map(Ca::to_string).collect());
    }
    let holders = store::rotation::holders(connection, ca.id, now).await?;
    let name = |(kind, tenant, subject): (String, Option<String>, String)| match (kind.as_str(), tenant) {
        ("agent", Some(tenant)) => format!("{tenant}/{subject}"),
        (kind, Some(tenant)) => format!("{kind} {subject} (for {tenant})"),
        (kind, None) => format!("{kind} {subject}"),
    };
    Ok(holders.into_iter().map(name).collect())
}

/// A new root signs every authority anew, so none of them may be on its way at that time; and it needs its own key.
fn blocked(ca: &Ca, all: &[Ca], has_key: bool) -> Option<String> {
    if ca.kind != "root" {
        return None;
    }
    let other = all.iter().find(|other| {
        other.kind != "root" && State::of_word(&other.state) != State::Retiring && is_under_way(all, other)
    });
    match other {
        Some(other) => Some(format!("the rotation of the {other} to go on first")),
        None if !has_key => Some(
            "its key, which isn't in the key folder: `platform ca rotate root --step activate --root-key FILE`".to_owned(),
        ),
        None => None,
    }
}
