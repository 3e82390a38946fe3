//! Leases, shards and claims against a real database; time is passed in.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "support/site.rs"]
mod site;

use picket_platform::coordination::assignment::View;
use picket_platform::coordination::lease::{self, Joined};
use picket_platform::coordination::{BROKEN_SESSION_MS, HEARTBEAT_MS, LEASE_MS, claims, reconcile};
use picket_platform::store;
use picket_proto::platform::v1::{Reachability, ReachabilityClaim};
use site::{Agent, Site};

async fn two_gateways() -> (Site, Agent) {
    let site = Site::new().await;
    site.tenant("acme").await;
    let agent = site.agent("acme", "berlin-1").await;
    site.gateway("gw-1").await;
    site.gateway("gw-2").await;
    (site, agent)
}

async fn shards_of(site: &Site, gateway: &str) -> usize {
    let mut read = site.services.store.read().await.unwrap();
    let shards = store::shards::of_pool(&mut read, "shared").await.unwrap();
    shards
        .iter()
        .filter(|shard| shard.owner.as_deref() == Some(gateway))
        .count()
}

async fn state(site: &Site, gateway: &str) -> String {
    let mut read = site.services.store.read().await.unwrap();
    store::gateways::find(&mut read, gateway)
        .await
        .unwrap()
        .unwrap()
        .state
}

/// Lets time pass as it does: somebody looks, and who lives renews.
async fn pass(site: &Site, ms: i64, alive: &[(&str, &str)]) {
    for _ in 0..ms / 1000 {
        site.clock.advance(1000);
        for (gateway, instance) in alive {
            lease::renew(&site.services, gateway, instance, 0, 0)
                .await
                .unwrap();
        }
        reconcile::all(&site.services).await.unwrap();
    }
}

async fn claim(
    site: &Site,
    agent: &Agent,
    gateway: &str,
    instance: &str,
    epoch: u64,
    state: Reachability,
    cause: &str,
) {
    let (shard, _) = site.shard(agent).await;
    let claim = ReachabilityClaim {
        tenant: agent.tenant.clone(),
        agent: agent.name.clone(),
        shard,
        epoch,
        state: state.into(),
        cause: cause.into(),
        ..ReachabilityClaim::default()
    };
    claims::take(&site.services, gateway, instance, "shared", &[claim])
        .await
        .unwrap();
}

async fn open_alerts(site: &Site) -> Vec<String> {
    let mut read = site.services.store.read().await.unwrap();
    sqlx::query_scalar("SELECT kind FROM alert WHERE resolved_at IS NULL ORDER BY kind")
        .fetch_all(&mut *read)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_gateway_that_joins_gets_the_shards_and_their_agents_with_what_to_trust_them_by() {
    let (site, agent) = two_gateways().await;
    site.join("gw-1", "boot").await;
    assert_eq!(shards_of(&site, "gw-1").await, 64);
    let (_, view) = View::read(&site.services, "shared", "gw-1", "boot")
        .await
        .unwrap();
    let told = &view.agents[&("acme".to_owned(), "berlin-1".to_owned())];
    assert_eq!(told.active_serials, [agent.serial]);
    assert_eq!(told.spiffe_id, "spiffe://acme.picket.test/agent/berlin-1");
    assert_eq!(view.tenants["acme"].tenant_cas.len(), 1);
}

#[tokio::test]
async fn a_silent_gateways_shards_move_when_its_lease_ends_and_not_before() {
    let (site, _) = two_gateways().await;
    site.join("gw-1", "one").await;
    site.join("gw-2", "two").await;
    pass(&site, LEASE_MS - 1000, &[("gw-2", "two")]).await;
    assert!(shards_of(&site, "gw-1").await > 0);
    pass(&site, 2000, &[("gw-2", "two")]).await;
    assert_eq!(
        (
            state(&site, "gw-1").await.as_str(),
            shards_of(&site, "gw-2").await
        ),
        ("dead", 64)
    );
    assert!(!lease::renew(&site.services, "gw-1", "one", 0, 0).await.unwrap());
}

#[tokio::test]
async fn a_draining_gateway_gives_its_shards_up_at_once() {
    let (site, _) = two_gateways().await;
    site.join("gw-1", "one").await;
    site.join("gw-2", "two").await;
    lease::drain(&site.services, "gw-1", "one").await.unwrap();
    reconcile::all(&site.services).await.unwrap();
    assert_eq!(shards_of(&site, "gw-2").await, 64);
    lease::session_ended(&site.services, "gw-1", "one", true)
        .await
        .unwrap();
    assert_eq!(state(&site, "gw-1").await, "absent");
}

#[tokio::test]
async fn a_broken_session_costs_the_shards_soon_and_a_quick_return_keeps_them() {
    let (site, _) = two_gateways().await;
    site.join("gw-1", "one").await;
    lease::session_ended(&site.services, "gw-1", "one", false)
        .await
        .unwrap();
    assert!(matches!(site.join("gw-1", "again").await, Joined::Lease { .. }));
    pass(&site, BROKEN_SESSION_MS + 1000, &[("gw-1", "again")]).await;
    assert_eq!(state(&site, "gw-1").await, "live");
    lease::session_ended(&site.services, "gw-1", "again", false)
        .await
        .unwrap();
    site.join("gw-2", "two").await;
    pass(&site, BROKEN_SESSION_MS + 1000, &[("gw-2", "two")]).await;
    assert_eq!(shards_of(&site, "gw-2").await, 64);
}

#[tokio::test]
async fn a_second_process_with_the_same_certificate_is_refused_while_the_first_lives() {
    let (site, _) = two_gateways().await;
    site.join("gw-1", "one").await;
    assert!(matches!(site.join("gw-1", "two").await, Joined::Refused(_)));
    site.clock.advance(HEARTBEAT_MS + 2000);
    assert!(matches!(site.join("gw-1", "two").await, Joined::Lease { .. }));
    assert!(!lease::renew(&site.services, "gw-1", "one", 0, 0).await.unwrap());
}

#[tokio::test]
async fn after_nobody_looked_for_a_lease_the_gateways_get_one_lease_to_come_back() {
    let (site, _) = two_gateways().await;
    site.join("gw-1", "one").await;
    site.clock.advance(10 * LEASE_MS);
    reconcile::all(&site.services).await.unwrap();
    assert_eq!(state(&site, "gw-1").await, "live");
    pass(&site, LEASE_MS + 1000, &[]).await;
    assert_eq!(state(&site, "gw-1").await, "dead");
}

#[tokio::test]
async fn two_nodes_that_reconcile_at_once_agree_and_epochs_rise_by_one() {
    let (site, _) = two_gateways().await;
    let other = site.another_node().await;
    site.join("gw-1", "one").await;
    lease::drain(&site.services, "gw-1", "one").await.unwrap();
    let joining = store::gateways::Joining {
        instance: "two",
        version: "0",
        weight: 1,
        zone: "",
        trust_sequence: 0,
    };
    lease::join(&other, "gw-2", &joining).await.unwrap();
    let (a, b) = tokio::join!(reconcile::all(&site.services), reconcile::all(&other));
    a.unwrap();
    b.unwrap();
    let mut read = site.services.store.read().await.unwrap();
    let shards = store::shards::of_pool(&mut read, "shared").await.unwrap();
    assert!(
        shards
            .iter()
            .all(|shard| shard.epoch == 2 && shard.owner.as_deref() == Some("gw-2")),
        "{shards:?}"
    );
}

#[tokio::test]
async fn a_claim_under_an_old_epoch_changes_nothing() {
    let (site, agent) = two_gateways().await;
    site.join("gw-1", "one").await;
    let (_, old) = site.shard(&agent).await;
    lease::drain(&site.services, "gw-1", "one").await.unwrap();
    site.join("gw-2", "two").await;
    claim(
        &site,
        &agent,
        "gw-1",
        "one",
        old,
        Reachability::Unreachable,
        "timeout",
    )
    .await;
    let mut read = site.services.store.read().await.unwrap();
    assert_eq!(
        store::reach::find(&mut read, "acme", "berlin-1").await.unwrap(),
        None
    );
    drop(read);
    let (_, new) = site.shard(&agent).await;
    claim(&site, &agent, "gw-2", "two", new, Reachability::Reachable, "").await;
    let mut read = site.services.store.read().await.unwrap();
    let reach = store::reach::find(&mut read, "acme", "berlin-1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reach.state, "reachable");
}

#[tokio::test]
async fn an_unreachable_agent_is_one_alert_with_its_cause_and_resolves_when_it_is_reached() {
    let (site, agent) = two_gateways().await;
    site.join("gw-1", "one").await;
    let (_, epoch) = site.shard(&agent).await;
    for _ in 0..3 {
        claim(
            &site,
            &agent,
            "gw-1",
            "one",
            epoch,
            Reachability::Unreachable,
            "timeout",
        )
        .await;
    }
    assert_eq!(open_alerts(&site).await, ["agent_unreachable"]);
    claim(
        &site,
        &agent,
        "gw-1",
        "one",
        epoch,
        Reachability::Suspect,
        "timeout",
    )
    .await;
    assert_eq!(open_alerts(&site).await, ["agent_unreachable"]);
    claim(
        &site,
        &agent,
        "gw-1",
        "one",
        epoch,
        Reachability::Unreachable,
        "wrong_tenant",
    )
    .await;
    assert_eq!(open_alerts(&site).await, ["agent_refused"]);
    claim(&site, &agent, "gw-1", "one", epoch, Reachability::Reachable, "").await;
    assert_eq!(open_alerts(&site).await, Vec::<String>::new());
}
