use picket_issuing::Role;
use picket_platform::authority::encryption::{KeyError, Sources};
use picket_platform::authority::keys::KeyFolder;
use picket_platform::authority::rotation::RotationError;
use picket_platform::authority::rotation::decision::{OVERLAP_MS, Step};
use picket_platform::authority::{Authority, AuthorityError};
use picket_platform::events::EventBus;
use rustls::pki_types::CertificateDer;

use crate::bench::{Bench, accepts};

async fn everybody_catches_up(bench: &Bench) {
    bench.gateway_catches_up().await;
    bench.agent_catches_up().await;
}

#[tokio::test]
async fn a_new_root_waits_for_agents_and_gateways() {
    let bench = Bench::new().await;
    bench.prepare(&Role::Root).await;
    bench.round().await;
    assert_eq!(
        bench.waits_for("root", "prepared").await,
        "2 to learn of it: acme/berlin-1, gateway gw-1"
    );
    assert_eq!(bench.view().await.tenants["acme"].roots.len(), 2);
    everybody_catches_up(&bench).await;
    bench.round().await;
    assert_eq!(bench.states("root").await, ["active", "active"]);
}

#[tokio::test]
async fn a_new_root_signs_every_authority_anew_for_its_same_key() {
    let mut bench = Bench::new().await;
    let old_leaf = bench.agent.issued.leaf.clone();
    bench.prepare(&Role::Root).await;
    everybody_catches_up(&bench).await;
    bench.round().await;
    for kind in ["gateway", "platform", "tenant"] {
        let standings = bench.standings(kind).await;
        let states: Vec<&str> = standings
            .iter()
            .map(|standing| standing.ca.state.as_str())
            .collect();
        assert_eq!(states, ["retiring", "active"], "{kind}");
        assert_eq!(standings[0].ca.key_ref, standings[1].ca.key_ref, "{kind}");
    }
    let new_leaf = bench.renew().await.leaf;
    let roots = bench.standings("root").await;
    let tenants = bench.standings("tenant").await;
    let der = |certificate: &[u8]| vec![CertificateDer::from(certificate.to_vec())];
    let now = bench.site.clock.now();
    for leaf in [&old_leaf, &new_leaf] {
        for which in [0, 1] {
            let (root, ca) = (&roots[which].ca, &tenants[which].ca);
            assert!(
                accepts(leaf, der(&root.certificate), der(&ca.certificate), now),
                "the old and the new leaf are good under the old and the new root"
            );
        }
    }
}

#[tokio::test]
async fn the_old_root_goes_last_and_nobody_is_cut_off() {
    let mut bench = Bench::new().await;
    bench.prepare(&Role::Root).await;
    everybody_catches_up(&bench).await;
    bench.round().await;
    assert!(bench.is_taken(&bench.agent.issued.leaf.clone()).await);
    bench.pass(OVERLAP_MS).await;
    bench.round().await;
    assert_eq!(bench.states("root").await, ["retiring", "active"]);
    let waits = bench.waits_for("root", "retiring").await;
    assert!(
        waits.contains("tenant CA acme") && waits.contains("gateway CA"),
        "{waits}"
    );
    let leaf = bench.renew().await.leaf;
    let authority = &bench.site.services.authority;
    let key = picket_identity::credential::PrivateKey::generate().unwrap();
    authority
        .add_gateway(&"gw-1".parse().unwrap(), &key.csr("x").unwrap(), true, "test")
        .await
        .unwrap();
    bench.round().await;
    everybody_catches_up(&bench).await;
    bench.round().await;
    for _ in 0..3 {
        everybody_catches_up(&bench).await;
        bench.round().await;
        assert!(bench.is_taken(&leaf).await);
    }
    let left = bench
        .number("SELECT COUNT(*) FROM ca WHERE state <> 'active' AND state <> 'revoked'")
        .await;
    assert_eq!(
        (left, bench.states("root").await),
        (0, vec!["revoked".to_owned(), "active".to_owned()])
    );
    let tenant = bench.standings("tenant").await;
    assert!(
        bench.has_key(&tenant[1].ca.key_ref),
        "the key that goes on isn't destroyed with its old certificate"
    );
}

#[tokio::test]
async fn a_root_and_what_is_below_it_do_not_rotate_at_the_same_time() {
    let bench = Bench::new().await;
    let authority = &bench.site.services.authority;
    bench.prepare(&Role::Root).await;
    let refused = authority.prepare_rotation(&Role::Gateway, "test").await;
    assert!(matches!(
        refused,
        Err(AuthorityError::Rotation(RotationError::UnderWay(_)))
    ));

    let bench = Bench::new().await;
    let authority = &bench.site.services.authority;
    bench.prepare(&Role::Gateway).await;
    let refused = authority.prepare_rotation(&Role::Root, "test").await;
    assert!(matches!(
        refused,
        Err(AuthorityError::Rotation(RotationError::UnderWay(_)))
    ));
}

/// The same installation, as a command sees it that is given the root's key by `--root-key`.
async fn with_root_key(bench: &Bench, root: Option<std::path::PathBuf>) -> Authority {
    let sources = Sources {
        file: Some(bench.site.encryption_key_file()),
        ..Sources::default()
    };
    let keys = KeyFolder::with_root(&bench.site.folder.path().join("keys"), sources, root);
    let domain = "picket.test".parse().unwrap();
    Authority::open(
        bench.site.services.store.clone(),
        EventBus::default(),
        keys,
        &domain,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn with_an_offline_root_everything_works_that_does_not_need_it() {
    let mut bench = Bench::new().await;
    let away = bench.site.outside.path().join("root.key");
    let authority = bench.site.services.authority.clone();
    authority.move_root_key(&away, "test").await.unwrap();
    let root = bench.standings("root").await[0].ca.clone();
    assert!(away.exists() && !bench.has_key(&root.key_ref));

    bench.renew().await;
    bench.site.gateway("gw-2").await;
    authority.grpc_tls(&"node-1".parse().unwrap()).await.unwrap();
    let globex = "globex".parse().unwrap();
    let refused = authority.add_tenant(&globex, "Globex", "test").await.unwrap_err();
    assert!(refused.to_string().contains("--root-key"), "{refused}");
    let refused = authority
        .prepare_rotation(&Bench::acme(), "test")
        .await
        .unwrap_err();
    assert!(
        matches!(refused, AuthorityError::Key(KeyError::Absent { .. })),
        "{refused}"
    );
    assert_eq!(bench.states("tenant").await, ["active"]);

    let brought = with_root_key(&bench, Some(away)).await;
    brought.add_tenant(&globex, "Globex", "test").await.unwrap();
    brought.prepare_rotation(&Bench::acme(), "test").await.unwrap();
    bench.gateway_catches_up().await;
    bench.round().await;
    assert_eq!(bench.states("tenant").await, ["active", "active", "active"]);
}

#[tokio::test]
async fn what_is_brought_as_the_roots_key_has_to_be_it() {
    let bench = Bench::new().await;
    let away = bench.site.outside.path().join("root.key");
    bench
        .site
        .services
        .authority
        .move_root_key(&away, "test")
        .await
        .unwrap();
    let other = Bench::new().await;
    let others = other.site.outside.path().join("root.key");
    other
        .site
        .services
        .authority
        .move_root_key(&others, "test")
        .await
        .unwrap();
    let gateway = bench.standings("gateway").await[0].ca.key_ref.clone();
    let gateway = bench
        .site
        .folder
        .path()
        .join("keys")
        .join(format!("{gateway}.key"));
    for wrong in [others, gateway] {
        let brought = with_root_key(&bench, Some(wrong)).await;
        let refused = brought
            .add_tenant(&"globex".parse().unwrap(), "Globex", "test")
            .await;
        assert!(matches!(refused, Err(AuthorityError::Key(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn the_roots_key_is_never_moved_over_a_file() {
    let bench = Bench::new().await;
    let there = bench.site.outside.path().join("root.key");
    std::fs::write(&there, "mine").unwrap();
    let refused = bench.site.services.authority.move_root_key(&there, "test").await;
    assert!(matches!(refused, Err(AuthorityError::Key(KeyError::Exists(_)))));
    let root = bench.standings("root").await[0].ca.clone();
    assert!(bench.has_key(&root.key_ref));
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
}

#[tokio::test]
async fn a_new_root_whose_key_was_moved_away_says_that_it_waits_for_it() {
    let bench = Bench::new().await;
    bench.prepare(&Role::Root).await;
    everybody_catches_up(&bench).await;
    let prepared = bench.standings("root").await.pop().unwrap().ca;
    let keys = bench.site.folder.path().join("keys");
    let away = bench.site.outside.path().join("new-root.key");
    std::fs::rename(keys.join(format!("{}.key", prepared.key_ref)), &away).unwrap();
    bench.round().await;
    assert!(bench.waits_for("root", "prepared").await.contains("--root-key"));
    let forced = bench
        .site
        .services
        .authority
        .rotate_by_hand(&Role::Root, Step::Activate, true, "test")
        .await;
    assert!(forced.is_err(), "no force makes a signature without a key");
    let brought = with_root_key(&bench, Some(away)).await;
    brought
        .rotate_by_hand(&Role::Root, Step::Activate, false, "test")
        .await
        .unwrap();
    assert_eq!(bench.states("root").await, ["active", "active"]);
}
