use picket_platform::coordination::assignment::View;
use picket_platform::store;
use picket_proto::platform::v1::Assignment;

use crate::bench::{Bench, key, serial};

async fn bump(bench: &Bench) -> i64 {
    let mut write = bench.site.services.store.write().await.unwrap();
    let sequence = store::installation::bump_trust(&mut write).await.unwrap();
    write.commit().await.unwrap();
    sequence
}

#[tokio::test]
async fn a_tenant_is_told_with_what_its_agents_are_to_trust() {
    let (bench, _) = Bench::with_agent().await;
    let view = bench.view().await;
    let trust = &view.tenants["acme"];
    assert_eq!(trust.agent_trust_sequence, 1);
    assert!(trust.agent_trust.is_some());
    assert_eq!((trust.roots.len(), trust.tenant_cas.len()), (1, 1));
}

#[tokio::test]
async fn what_is_told_twice_is_the_same_byte_by_byte() {
    let (bench, _) = Bench::with_agent().await;
    assert_eq!(
        bench.view().await.difference(&bench.view().await),
        Vec::<Assignment>::new()
    );
}

#[tokio::test]
async fn a_change_of_trust_is_told_for_every_tenant_and_for_no_agent() {
    let (bench, _) = Bench::with_agent().await;
    bench.site.tenant("globex").await;
    bench.site.agent("globex", "paris-1").await;
    bench.site.join("gw-1", "boot").await;
    let before = bench.view().await;
    let sequence = u64::try_from(bump(&bench).await).unwrap();
    let after = bench.view().await;
    assert!(after.revision > before.revision);
    let told = before.difference(&after);
    assert_eq!(told.len(), 1);
    let tenants: Vec<_> = told[0]
        .tenants
        .iter()
        .map(|trust| (trust.tenant.as_str(), trust.agent_trust_sequence))
        .collect();
    assert_eq!(tenants, [("acme", sequence), ("globex", sequence)]);
    assert_eq!((told[0].agents.len(), told[0].removed.len()), (0, 0));
}

#[tokio::test]
async fn a_change_of_an_agents_serials_work_or_renewal_is_told() {
    let (bench, agent) = Bench::with_agent().await;
    let before = bench.view().await;
    let issued = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    let after = bench.view().await;
    let told = before.difference(&after);
    assert!(told[0].agents[0].active_serials.contains(&serial(&issued)));

    bench.site.register("acme", "berlin-1", true).await;
    let later = bench.view().await;
    assert_eq!(after.difference(&later)[0].agents.len(), 1);

    let mut write = bench.site.services.store.write().await.unwrap();
    sqlx::query("UPDATE ca SET state = 'retiring' WHERE kind = 'tenant'")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let told = later.difference(&bench.view().await);
    assert!(told[0].agents[0].renew);
}

#[tokio::test]
async fn prepared_active_and_retiring_authorities_are_trusted_and_revoked_ones_not() {
    let (bench, _) = Bench::with_agent().await;
    for (state, count) in [("prepared", 1), ("retiring", 1), ("revoked", 0)] {
        let mut write = bench.site.services.store.write().await.unwrap();
        sqlx::query("UPDATE ca SET state = $1 WHERE kind = 'tenant'")
            .bind(state)
            .execute(&mut *write)
            .await
            .unwrap();
        write.commit().await.unwrap();
        let view: View = bench.view().await;
        let cas = view.tenants.get("acme").map_or(0, |trust| trust.tenant_cas.len());
        assert_eq!(cas, count, "{state}");
    }
}

#[tokio::test]
async fn a_gateway_whose_authority_issues_no_more_is_told_to_renew() {
    let bench = Bench::new().await;
    let authority = &bench.site.services.authority;
    let store = &bench.site.services.store;
    let trust = async || {
        let mut read = store.read().await.unwrap();
        authority.platform_trust(&mut read, "gw-1").await.unwrap()
    };
    let before = trust().await;
    assert_eq!((before.sequence, before.renew), (1, false));
    assert_eq!((before.roots.len(), before.platform_cas.len()), (1, 1));
    let mut write = store.write().await.unwrap();
    sqlx::query("UPDATE ca SET state = 'retiring' WHERE kind = 'gateway'")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    assert!(trust().await.renew);
}
