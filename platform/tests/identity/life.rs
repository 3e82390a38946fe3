use picket_platform::authority::upkeep;
use picket_platform::ingest::{Lane, admit};
use picket_proto::agent::v1::Status;
use picket_proto::platform::v1::{Reachability, SubmitOutcome};

use crate::bench::{Bench, MINUTE_MS, key, serial};
use crate::site::{Agent, results};

#[tokio::test]
async fn a_pending_certificate_is_the_current_one_once_a_claim_shows_it() {
    let (bench, agent) = Bench::with_agent().await;
    let next = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    bench.claim(Reachability::Reachable, "", &agent.serial).await;
    assert_eq!(bench.state(&serial(&next)).await, "pending");
    bench.claim(Reachability::Reachable, "", &serial(&next)).await;
    assert_eq!(bench.state(&serial(&next)).await, "current");
    assert_eq!(bench.state(&agent.serial).await, "superseded");
}

#[tokio::test]
async fn a_pending_certificate_is_the_current_one_once_a_batch_is_sealed_by_it() {
    let (bench, agent) = Bench::with_agent().await;
    let key = key();
    let issued = bench.renew(&bench.renewal(&agent, &key).await).await.unwrap();
    let renewed = Agent {
        serial: serial(&issued),
        key,
        ..agent
    };
    let batch = renewed.seal("s1", 1, results(1, &[Status::Ok]));
    let request = bench.site.request(&renewed, "boot", batch).await;
    let services = &bench.site.services;
    let submission = admit(services, "gw-1", request).await.unwrap().unwrap();
    let lane = Lane::start(services.clone());
    let answer = lane.submit(submission).await.await.unwrap();
    assert_eq!(answer.outcome, SubmitOutcome::Committed);
    assert_eq!(bench.state(&renewed.serial).await, "current");
}

#[tokio::test]
async fn a_claim_under_an_old_epoch_brings_no_certificate_into_use() {
    let (bench, agent) = Bench::with_agent().await;
    let next = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    let mut write = bench.site.services.store.write().await.unwrap();
    sqlx::query("UPDATE shard SET owner_instance = 'another'")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    bench.claim(Reachability::Reachable, "", &serial(&next)).await;
    assert_eq!(bench.state(&serial(&next)).await, "pending");
}

#[tokio::test]
async fn a_superseded_certificate_is_taken_from_the_active_ones_after_15_minutes() {
    let (bench, agent) = Bench::with_agent().await;
    let next = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    bench.claim(Reachability::Reachable, "", &serial(&next)).await;
    bench.pass(15 * MINUTE_MS - 1).await;
    upkeep::once(&bench.site.services).await.unwrap();
    assert_eq!(bench.assigned().await.active_serials.len(), 2);
    let before = bench.view().await.revision;
    bench.pass(1).await;
    upkeep::once(&bench.site.services).await.unwrap();
    assert_eq!(bench.assigned().await.active_serials, [serial(&next)]);
    // The gateways look again, once.
    assert_eq!(bench.view().await.revision, before + 1);
    upkeep::once(&bench.site.services).await.unwrap();
    assert_eq!(bench.view().await.revision, before + 1);
}

#[tokio::test]
async fn a_newer_pending_certificate_survives_the_first_use_of_an_older_one() {
    let (bench, agent) = Bench::with_agent().await;
    let first = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    bench.site.clock.advance(1);
    let second = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    bench.claim(Reachability::Reachable, "", &serial(&first)).await;
    assert_eq!(bench.state(&serial(&second)).await, "pending");
    bench.claim(Reachability::Reachable, "", &serial(&second)).await;
    assert_eq!(bench.state(&serial(&second)).await, "current");
    assert_eq!(bench.state(&serial(&first)).await, "superseded");
}

#[tokio::test]
async fn what_a_claim_says_of_certificate_and_trust_is_kept_until_it_says_more() {
    let (bench, agent) = Bench::with_agent().await;
    bench.claim(Reachability::Reachable, "", &agent.serial).await;
    bench.claim(Reachability::Suspect, "timeout", "").await;
    let kept = "SELECT certificate_serial || ' ' || trust_sequence FROM agent_reach";
    assert_eq!(bench.text(kept).await, format!("{} 7", agent.serial));
}
