//! The next certificate, brought by a gateway while the agent works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use picket_identity::bundle;
use picket_identity::verify::now;
use picket_issuing::Intermediate;
use picket_proto::agent::v1::pull_request::Kind as Ask;
use picket_proto::agent::v1::pull_response::Kind as Answer;
use picket_proto::agent::v1::renew_request::Kind as RenewAsk;
use picket_proto::agent::v1::{IssuedCertificate, StepFailed};
use tokio_stream::wrappers::ReceiverStream;

use crate::registry::{HOUR, Renewing, SEQUENCE, earlier};
use crate::world::{World, ask, eventually, key, start};

fn on_disk(world: &World) -> String {
    let identity = bundle::load(&world.path("identity"), now()).unwrap();
    identity.verified().serial().to_string()
}

#[tokio::test]
async fn new_connections_show_the_new_certificate_and_old_ones_go_on() {
    let world = World::new();
    let running = world.start().await;
    let mut old = world.gateway(&running).await;
    let before = old.connection.verified.serial().to_string();
    let serial = world.renew(old.connection.channel.clone()).await.unwrap();
    assert_ne!(serial, before);
    assert_eq!(on_disk(&world), serial);
    // At once, not when somebody has looked at the folder.
    let new = world.gateway(&running).await;
    assert_eq!(new.connection.verified.serial().to_string(), serial);
    old.describe().await;
    let second = world.renew(old.connection.channel.clone()).await.unwrap();
    assert_ne!(second, serial);
    running.stop().await;
}

/// Results that flow are neither lost nor torn: what comes after the renewal is sealed by the new key, and says so.
#[tokio::test]
async fn a_pull_under_way_goes_on_and_seals_with_the_key_that_it_names() {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let (requests, receiver) = tokio::sync::mpsc::channel(8);
    requests.send(ask(Ask::Start(start("", 0, true)))).await.unwrap();
    let pulling = gateway.client.pull(ReceiverStream::new(receiver)).await;
    let mut answers = pulling.unwrap().into_inner();
    let mut next = async || loop {
        if let Answer::Batch(batch) = answers.message().await.unwrap().unwrap().kind.unwrap() {
            return batch;
        }
    };
    let first = gateway.open(&next().await);
    let serial = world.renew(gateway.connection.channel.clone()).await.unwrap();
    let renewed = world.gateway(&running).await;
    let mut expected = first.header.last_seq + 1;
    loop {
        let batch = next().await;
        let header: picket_proto::agent::v1::BatchHeader =
            prost::Message::decode(batch.header.clone()).unwrap();
        assert_eq!(header.first_seq, expected, "nothing is missing");
        expected = header.last_seq + 1;
        if header.certificate_serial == serial {
            // Verifies the signature by the new certificate.
            renewed.open(&batch);
            break;
        }
        gateway.open(&batch);
    }
    running.stop().await;
}

/// Somebody looks at the folder all the while: key and certificate always belong together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_renewals_leave_one_pair_and_never_half_of_two() {
    let world = Arc::new(World::new());
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let looking = {
        let (folder, is_over) = (world.path("identity"), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                bundle::load(&folder, now()).unwrap();
                looks += 1;
            }
            looks
        })
    };
    let mut keys = std::collections::BTreeSet::new();
    let mut last = String::new();
    for _ in 0..100 {
        let mut renewing = Renewing::begin(gateway.connection.channel.clone()).await.unwrap();
        let csr = renewing.proof().await.unwrap();
        let public = picket_issuing::PublicKey::from_request(&csr).unwrap();
        assert!(keys.insert(public.spki().to_vec()), "a new key each time");
        last = renewing.hand_over(world.issue(&csr)).await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(looking.join().unwrap() > 10);
    assert_eq!(on_disk(&world), last);
    assert!(!world.path("identity/ready").exists() && !world.path("identity/incoming").exists());
    running.stop().await;
}

/// Issues something that is wrong for a request.
type Wrong<'a> = &'a dyn Fn(&[u8]) -> IssuedCertificate;

#[tokio::test]
async fn what_is_wrong_in_the_answer_is_refused_with_its_cause_and_installs_nothing() {
    let world = World::at(earlier(now(), 96 * HOUR));
    world.enroll();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let before = on_disk(&world);
    let globex = Intermediate::Tenant("globex".parse().unwrap());
    let globex = world.root.new_intermediate(globex, now()).unwrap();
    let elsewhere = World::not_enrolled();
    let then = earlier(now(), 72 * HOUR);
    let wrongs: [(&str, &str, Wrong<'_>); 8] = [
        ("another key", "key_mismatch", &|_| {
            world.issue(&key().0.csr("x").unwrap())
        }),
        ("another agent", "wrong_agent", &|csr| {
            world.issued_by(&world.tenant_ca, "paris-1", csr, now())
        }),
        ("another tenant", "wrong_agent", &|csr| {
            world.issued_by(&globex, "berlin-1", csr, now())
        }),
        ("another tenant's CA", "bad_certificate", &|csr| {
            IssuedCertificate {
                issuer: globex.certificate_der().to_vec().into(),
                ..world.issue(csr)
            }
        }),
        ("another root", "bad_certificate", &|csr| {
            world.issued_by(&elsewhere.tenant_ca, "berlin-1", csr, now())
        }),
        ("expired", "bad_certificate", &|csr| {
            world.issued_by(&world.tenant_ca, "berlin-1", csr, then)
        }),
        ("trust of another tenant", "bad_trust", &|csr| IssuedCertificate {
            trust: Some(world.said_by(&world.platform_ca, "globex", 9, Vec::new())),
            ..world.issue(csr)
        }),
        ("trust by a gateway CA", "bad_trust", &|csr| IssuedCertificate {
            trust: Some(world.said_by(&world.gateway_ca, "acme", 9, Vec::new())),
            ..world.issue(csr)
        }),
    ];
    for (what, cause, wrong) in wrongs {
        let mut renewing = Renewing::begin(gateway.connection.channel.clone()).await.unwrap();
        let csr = renewing.proof().await.unwrap();
        let failed = renewing.hand_over(wrong(&csr)).await.unwrap_err();
        assert_eq!(
            (failed.step.as_str(), failed.cause.as_str()),
            ("install", cause),
            "{what}"
        );
        assert!(
            what != "expired" || failed.detail.contains("expired"),
            "{failed:?}"
        );
        assert_eq!(on_disk(&world), before, "{what}");
        let shown = world
            .gateway(&running)
            .await
            .connection
            .verified
            .serial()
            .to_string();
        assert_eq!(shown, before, "{what}");
    }
    let metrics = running.metrics().recorded.render();
    let counted =
        "picket_agent_steps_failed_total{exchange=\"renewal\",step=\"install\",cause=\"key_mismatch\"}";
    assert!(metrics.contains(counted), "{metrics}");
    running.stop().await;
}

/// Trust that comes with a certificate counts where it is newer, and never turns back.
#[tokio::test]
async fn trust_comes_with_a_renewal_and_never_turns_back() {
    let world = World::new();
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    for (brought, expected) in [(SEQUENCE + 2, SEQUENCE + 2), (SEQUENCE, SEQUENCE + 2)] {
        let mut renewing = Renewing::begin(gateway.connection.channel.clone()).await.unwrap();
        let csr = renewing.proof().await.unwrap();
        let issued = IssuedCertificate {
            trust: Some(world.trust(brought, Vec::new())),
            ..world.issue(&csr)
        };
        renewing.hand_over(issued).await.unwrap();
        assert_eq!(gateway.describe().await.trust_sequence, expected);
    }
    running.stop().await;
}

/// A trust update that comes in while a certificate is being issued is not undone by it.
#[tokio::test]
async fn a_renewal_does_not_undo_a_trust_update_that_overtakes_it() {
    let world = World::new();
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let channel = gateway.connection.channel.clone();
    let mut renewing = Renewing::begin(channel.clone()).await.unwrap();
    let csr = renewing.proof().await.unwrap();
    let update = world.trust(SEQUENCE + 5, Vec::new());
    assert_eq!(
        crate::registry::update_trust(channel, update).await.unwrap(),
        SEQUENCE + 5
    );
    renewing.hand_over(world.issue(&csr)).await.unwrap();
    assert_eq!(gateway.describe().await.trust_sequence, SEQUENCE + 5);
    let loaded = bundle::load(&world.path("identity"), now()).unwrap();
    assert_eq!(loaded.trust_sequence(), SEQUENCE + 5);
    running.stop().await;
}

#[tokio::test]
async fn a_second_renewal_beside_the_first_is_sent_away_and_comes_again() {
    let world = World::new();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let channel = gateway.connection.channel.clone();
    let mut first = Renewing::begin(channel.clone()).await.unwrap();
    let csr = first.proof().await.unwrap();
    let mut second = Renewing::begin_as(channel.clone(), "renewal-2").await.unwrap();
    let failed = second.proof().await.unwrap_err();
    assert_eq!(
        (failed.step.as_str(), failed.cause.as_str()),
        ("proof", "unavailable")
    );
    first.hand_over(world.issue(&csr)).await.unwrap();
    world.renew(channel).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_correlation_id_that_could_forge_a_log_line_is_refused() {
    let world = World::new();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let channel = gateway.connection.channel.clone();
    for id in ["", "a\nb", &"x".repeat(65)] {
        let failed = Renewing::begin_as(channel.clone(), id)
            .await
            .unwrap()
            .proof()
            .await
            .unwrap_err();
        assert_eq!(
            (failed.step.as_str(), failed.cause.as_str()),
            ("proof", "protocol")
        );
    }
    running.stop().await;
}

/// What the gateway gives up is over here as well: the next renewal begins at once.
#[tokio::test]
async fn a_renewal_that_the_gateway_gives_up_leaves_the_turn_to_the_next() {
    let world = World::new();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let channel = gateway.connection.channel.clone();
    let mut first = Renewing::begin(channel.clone()).await.unwrap();
    first.proof().await.unwrap();
    let told = StepFailed {
        step: "issue".to_owned(),
        cause: "not_owner".to_owned(),
        detail: "the shard has moved".to_owned(),
    };
    first.say(RenewAsk::Failed(told)).await;
    world.renew(channel.clone()).await.unwrap();
    // Also one that just ends.
    let mut gone = Renewing::begin(channel.clone()).await.unwrap();
    gone.proof().await.unwrap();
    drop(gone);
    let again = || async { world.renew(channel.clone()).await.ok() };
    eventually("a renewal", again).await;
    let counted = || async {
        let metrics = running.metrics().recorded.render();
        metrics
            .contains(
                "picket_agent_steps_failed_total{exchange=\"renewal\",step=\"issue\",cause=\"not_owner\"} 1",
            )
            .then_some(())
    };
    tokio::time::timeout(Duration::from_secs(20), eventually("the metric", counted))
        .await
        .unwrap();
    running.stop().await;
}
