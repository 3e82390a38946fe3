use picket_identity::trust_update::SignedTrust;
use picket_platform::authority::{AuthorityError, unix_time};
use picket_platform::coordination::lease::{self, Joined};
use picket_platform::coordination::reconcile;
use picket_platform::store;
use picket_platform::store::gateways::Joining;
use picket_proto::platform::v1::AgentWork;

use crate::bench::{Bench, cause, key, serial};

#[tokio::test]
async fn a_revoked_agent_has_no_active_serial_and_its_gateway_looks_again() {
    let (bench, agent) = Bench::with_agent().await;
    let next = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    let before = bench.view().await.revision;
    let authority = &bench.site.services.authority;
    let revoked = authority
        .revoke_agent(
            &"acme".parse().unwrap(),
            &"berlin-1".parse().unwrap(),
            None,
            "test",
        )
        .await
        .unwrap();
    assert_eq!(revoked.len(), 2);
    assert!(revoked.contains(&serial(&next)));
    assert_eq!(bench.assigned().await.active_serials, Vec::<String>::new());
    // It is dialled as ever, and refused: that is what raises the alert.
    assert_eq!(bench.work().await, AgentWork::Unspecified);
    assert!(bench.view().await.revision > before);
    assert_eq!(bench.acts("agent.revoke").await, 1);
}

#[tokio::test]
async fn one_serial_is_revoked_alone() {
    let (bench, agent) = Bench::with_agent().await;
    let next = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    let (tenant, name) = ("acme".parse().unwrap(), "berlin-1".parse().unwrap());
    let authority = &bench.site.services.authority;
    authority
        .revoke_agent(&tenant, &name, Some(&agent.serial), "test")
        .await
        .unwrap();
    assert_eq!(bench.assigned().await.active_serials, [serial(&next)]);
    let none = authority
        .revoke_agent(&tenant, &name, Some("0a"), "test")
        .await
        .unwrap_err();
    assert!(matches!(none, AuthorityError::NotFound { .. }), "{none}");
}

#[tokio::test]
async fn a_revoked_agents_enrolment_file_counts_no_more() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let request = bench.ask(&file, &key()).await;
    bench
        .site
        .services
        .authority
        .revoke_agent(
            &"acme".parse().unwrap(),
            &"berlin-1".parse().unwrap(),
            None,
            "test",
        )
        .await
        .unwrap();
    assert_eq!(cause(&bench.enroll(&request).await), "activation_unknown");
}

#[tokio::test]
async fn a_revoked_gateway_owns_nothing_gets_nothing_and_never_joins_again() {
    let (bench, agent) = Bench::with_agent().await;
    let request = bench.renewal(&agent, &key()).await;
    let name = "gw-1".parse().unwrap();
    let authority = &bench.site.services.authority;
    authority.revoke_gateway(&name, "test").await.unwrap();
    assert_eq!(cause(&bench.renew(&request).await), "not_owner");
    assert!(bench.view().await.agents.is_empty());
    let services = &bench.site.services;
    assert!(!lease::renew(services, "gw-1", "boot", 0, 0).await.unwrap());
    let joining = Joining {
        instance: "again",
        version: "0",
        weight: 1,
        zone: "",
        trust_sequence: 0,
    };
    let joined = lease::join(services, "gw-1", &joining).await.unwrap();
    assert!(matches!(joined, Joined::Refused(why) if why.contains("revoked")));
    reconcile::all(services).await.unwrap();
    assert!(bench.view().await.agents.is_empty());
    let csr = key().csr("x").unwrap();
    let tenant = "acme".parse().unwrap();
    assert!(authority.issue_for_tenant(&name, &tenant, &csr).await.is_err());
    assert!(authority.renew_gateway(&name, &csr).await.is_err());
    assert_eq!(bench.acts("gateway.revoke").await, 1);
}

#[tokio::test]
async fn a_revoked_gateway_may_be_registered_anew() {
    let bench = Bench::new().await;
    let name = "gw-1".parse().unwrap();
    let authority = &bench.site.services.authority;
    authority.revoke_gateway(&name, "test").await.unwrap();
    let csr = key().csr("x").unwrap();
    authority.add_gateway(&name, &csr, true, "test").await.unwrap();
    assert_eq!(
        bench.site.join("gw-1", "new").await,
        Joined::Lease {
            pool: "shared".into()
        }
    );
}

#[tokio::test]
async fn what_a_revoked_gateway_may_still_dial_a_tenant_with_is_denied_to_that_tenants_agents() {
    let (bench, _) = Bench::with_agent().await;
    bench.site.tenant("globex").await;
    bench.site.agent("globex", "paris-1").await;
    bench.site.join("gw-1", "boot").await;
    let name = "gw-1".parse().unwrap();
    let authority = &bench.site.services.authority;
    let csr = key().csr("x").unwrap();
    let issued = authority
        .issue_for_tenant(&name, &"acme".parse().unwrap(), &csr)
        .await
        .unwrap();
    let before = denied(&bench, "acme").await;
    assert_eq!(before.1, Vec::<String>::new());
    authority.revoke_gateway(&name, "test").await.unwrap();
    let after = denied(&bench, "acme").await;
    assert_eq!(after.1, [issued.serial.to_string()]);
    assert!(after.0 > before.0);
    assert_eq!(denied(&bench, "globex").await.1, Vec::<String>::new());
    // A week after their end nobody's clock is that wrong.
    bench.site.clock.advance(9 * crate::bench::DAY_MS);
    let mut write = bench.site.services.store.write().await.unwrap();
    store::installation::bump_trust(&mut write).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(denied(&bench, "acme").await.1, Vec::<String>::new());
}

/// The sequence of a tenant's statement, and what it denies.
async fn denied(bench: &Bench, tenant: &str) -> (u64, Vec<String>) {
    let authority = &bench.site.services.authority;
    let now = bench.site.clock.now();
    let mut read = bench.site.services.store.read().await.unwrap();
    let (update, _) = authority.agent_trust(&mut read, tenant, now).await.unwrap();
    let roots = authority.roots(&mut read).await.unwrap();
    let signed = SignedTrust {
        statement: update.statement.to_vec(),
        signer: update.signer.to_vec(),
        signature: update.signature.to_vec(),
    };
    let statement = signed
        .verify(
            authority.trust_domain(),
            &tenant.parse().unwrap(),
            &roots,
            unix_time(now),
        )
        .unwrap();
    let serials = statement
        .denied
        .iter()
        .map(|denied| denied.serial.to_string())
        .collect();
    (statement.sequence, serials)
}

#[tokio::test]
async fn a_gateway_that_asks_for_certificates_again_and_again_is_stopped() {
    let (bench, _) = Bench::with_agent().await;
    let authority = &bench.site.services.authority;
    let (name, tenant) = ("gw-1".parse().unwrap(), "acme".parse().unwrap());
    let csr = key().csr("x").unwrap();
    for _ in 0..200 {
        authority.issue_for_tenant(&name, &tenant, &csr).await.unwrap();
    }
    let refused = authority
        .issue_for_tenant(&name, &tenant, &csr)
        .await
        .unwrap_err();
    assert!(matches!(refused, AuthorityError::TooMany { .. }), "{refused}");
    bench.site.clock.advance(2 * crate::bench::DAY_MS);
    authority.issue_for_tenant(&name, &tenant, &csr).await.unwrap();
}
