//! An agent whose certificate has ended: it goes on with its checks, and waits for its recovery.

use std::time::Duration;

use picket_agent_host::exchange::issued::verify_trust;
use picket_agent_host::identity::validity::certain_time;
use picket_identity::connect::{Connection, DialError, DialLimits, connect};
use picket_identity::tls;
use picket_identity::verify::{Reason, RecoveryExpectation, UnixTime, now};
use picket_issuing::{Intermediate, days};
use picket_proto::agent::v1::agent_client::AgentClient;
use picket_proto::agent::v1::pull_response::Kind as Answer;
use picket_proto::agent::v1::{BatchHeader, DescribeRequest, PullRequest, PullResponse, RunCheckRequest};
use picket_proto::health::v1::HealthCheckRequest;
use picket_proto::health::v1::health_client::HealthClient;
use tonic::{Code, Status};

use crate::command_line::{agent_host, text};
use crate::program::Program;
use crate::registry::{HOUR, SEQUENCE, dial_for_enrollment, earlier, later, update_trust};
use crate::trust_updates::following;
use crate::world::{World, eventually, key, results};

/// An agent whose certificate ended so long ago. Its authorities are older.
fn expired_for(ago: Duration) -> World {
    let begun = earlier(now(), ago + 24 * HOUR);
    let world = World::at(earlier(now(), ago + days(2)));
    enroll_at(&world, begun, 24 * HOUR);
    world
}

fn enroll_at(world: &World, begun: UnixTime, lifetime: Duration) {
    let (key, public) = key();
    let issued = world
        .tenant_ca
        .issue_agent(&public, &"berlin-1".parse().unwrap(), lifetime, begun)
        .unwrap();
    world.install_identity(&key, &issued, begun);
}

async fn dial_for_recovery(world: &World, address: std::net::SocketAddr) -> Result<Connection, DialError> {
    let expected = RecoveryExpectation(world.expected());
    let tls = tls::gateway_recovering_agent(&world.gateway_for("acme"), expected).unwrap();
    connect(&address.to_string(), &tls, &DialLimits::default()).await
}

fn refused_for_good<T: std::fmt::Debug>(what: &str, answer: Result<T, Status>) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{what}");
    assert!(
        status
            .message()
            .contains("does nothing but renew its certificate")
            && status.message().contains("platform agent approve acme/berlin-1"),
        "{what}: {status}"
    );
}

#[tokio::test]
async fn it_serves_nothing_but_its_renewal_and_comes_back_with_what_it_measured() {
    let world = expired_for(HOUR);
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    let running = world.start().await;
    // Its checks run, and their results wait.
    results(&running, 2).await;
    let dialled = world.dial(&running, &world.gateway_for("acme")).await;
    match dialled {
        Err(DialError::Tls(refusal)) => assert_eq!(refusal.reason, Reason::Expired),
        other => panic!("{other:?}"),
    }
    let connection = dial_for_recovery(&world, running.addresses().grpc).await.unwrap();
    let channel = connection.channel.clone();
    let mut agent = AgentClient::new(channel.clone());
    refused_for_good("describe", agent.describe(DescribeRequest {}).await);
    refused_for_good("run", agent.run_check(RunCheckRequest::default()).await);
    refused_for_good("pull", agent.pull(tokio_stream::empty::<PullRequest>()).await);
    refused_for_good(
        "health",
        HealthClient::new(channel.clone())
            .check(HealthCheckRequest::default())
            .await,
    );
    refused_for_good(
        "trust",
        update_trust(channel.clone(), world.trust(SEQUENCE, Vec::new())).await,
    );
    let expired = "picket_agent_certificate_expired 1";
    assert!(running.metrics().recorded.render().contains(expired));

    let serial = world.renew(channel).await.unwrap();
    let mut gateway = world.gateway(&running).await;
    assert_eq!(gateway.connection.verified.serial().to_string(), serial);
    let batches = gateway.poll(crate::world::start("", 0, false)).await;
    assert_eq!(batches[0].header.first_seq, 1, "nothing that it measured is lost");
    let is_well = || async {
        let metrics = running.metrics().recorded.render();
        metrics
            .contains("picket_agent_certificate_expired 0")
            .then_some(())
    };
    eventually("the metric", is_well).await;
    running.stop().await;
}

/// The certificate's end comes while gateways are connected and results flow.
#[tokio::test]
async fn a_certificate_that_ends_while_the_agent_runs_ends_everything_but_renewal() {
    let world = World::at(earlier(now(), days(2)));
    let begun = earlier(now(), 24 * HOUR);
    // Some seconds are left.
    enroll_at(&world, begun, 24 * HOUR + Duration::from_secs(15));
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    let running = world.start().await;
    let connection = world.dial(&running, &world.gateway_for("acme")).await.unwrap();
    let mut agent = AgentClient::new(connection.channel.clone());
    agent.describe(DescribeRequest {}).await.unwrap();
    let warned = || async {
        let metrics = running.metrics().recorded.render();
        metrics
            .contains("picket_agent_certificate_ends_soon 1")
            .then_some(())
    };
    eventually("the warning", warned).await;
    let end = connection.verified.not_after();
    // A gateway that looks at no dates: what follows there ends all the same.
    let careless = dial_for_enrollment(running.addresses().grpc, &world.gateway_for("acme"))
        .await
        .unwrap();
    let (_requests, mut answers) = following(&mut AgentClient::new(careless.channel.clone())).await;
    eventually("the end", || async { (now() > end).then_some(()) }).await;
    let recovering = dial_for_recovery(&world, running.addresses().grpc).await.unwrap();
    let mut agent = AgentClient::new(recovering.channel.clone());
    refused_for_good("describe", agent.describe(DescribeRequest {}).await);
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match answers.message().await {
                Ok(Some(PullResponse {
                    kind: Some(Answer::Batch(batch)),
                })) => {
                    let header: BatchHeader = prost::Message::decode(batch.header).unwrap();
                    assert!(
                        header.sealed_at_unix_ms / 1_000 <= end.as_secs(),
                        "sealed after the end"
                    );
                }
                Ok(other) => assert!(other.is_some(), "the pull ended without a reason"),
                Err(status) => return status,
            }
        }
    });
    refused_for_good::<()>("pull", Err(ended.await.unwrap()));
    let told = || async {
        let metrics = running.metrics().recorded.render();
        metrics
            .contains("picket_agent_certificate_expired 1")
            .then_some(())
    };
    eventually("the metric", told).await;
    world.renew(recovering.channel.clone()).await.unwrap();
    world.gateway(&running).await.describe().await;
    running.stop().await;
}

#[test]
fn status_and_cert_show_say_what_is_wrong_and_until_when_it_can_be_recovered() {
    let world = expired_for(HOUR);
    let run = |arguments: &[&str]| agent_host(&world.path(""), arguments);
    let status = run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let shown = text(&status.stdout);
    assert!(
        shown.contains("expired") && shown.contains("platform agent approve acme/berlin-1"),
        "{shown}"
    );
    let shown = text(&run(&["cert", "show"]).stdout);
    for words in [
        "(expired)",
        "recoverable until",
        "trust sequence",
        "denied gateways",
        "root",
        "SHA-256",
    ] {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["cert", "show", "-o", "json"]).stdout).unwrap();
    let root = picket_identity::enrollment::fingerprint(world.root.certificate_der());
    assert_eq!(
        (&json["state"], &json["days_left"]),
        (&"expired".into(), &0.into())
    );
    assert_eq!(json["roots_sha256"], serde_json::json!([root]));
    assert_eq!(json["gateway_cas"].as_array().unwrap().len(), 1);
    let month = 30 * 24 * 3_600_000_i64;
    assert_eq!(
        json["recoverable_until_unix_ms"].as_i64().unwrap(),
        json["not_after_unix_ms"].as_i64().unwrap() + month
    );

    let lost = expired_for(days(31));
    let shown = text(&agent_host(&lost.path(""), &["status"]).stdout);
    assert!(shown.contains("agent-host enroll --replace"), "{shown}");
}

#[tokio::test]
async fn an_expired_agent_says_so_in_its_log_when_it_starts() {
    let world = expired_for(HOUR);
    let mut program = Program::start(&world, "run", &["run"]);
    program.address().await;
    let told = || async {
        let log = program.stderr();
        let line = log
            .lines()
            .find(|line| line.contains("platform agent approve acme/berlin-1"));
        line.map(ToOwned::to_owned)
    };
    let line = eventually("the log", told).await;
    assert!(line.contains("ERROR"), "{line}");
}

#[tokio::test]
async fn after_thirty_days_no_gateway_takes_it_up_again() {
    let world = expired_for(days(31));
    let running = world.start().await;
    let dialled = dial_for_recovery(&world, running.addresses().grpc).await;
    assert!(matches!(dialled, Err(DialError::Tls(_))), "{dialled:?}");
    running.stop().await;
}

/// A clock that was turned back before the own certificate began is taken to show that time: it revives neither a gateway's
/// certificate nor a platform CA that had ended by then.
#[tokio::test]
async fn a_clock_that_was_turned_back_revives_nothing() {
    // As if this machine's clock showed a time two days before the agent's certificate began.
    let begun = later(now(), days(2));
    let mut world = World::at(earlier(now(), days(729)));
    let tenant = Intermediate::Tenant(world.tenant.clone());
    world.tenant_ca = world.root.new_intermediate(tenant, now()).unwrap();
    world.gateway_ca = world.root.new_intermediate(Intermediate::Gateway, now()).unwrap();
    let (key, public) = key();
    let issued = world
        .tenant_ca
        .issue_agent(&public, &"berlin-1".parse().unwrap(), 24 * HOUR, begun)
        .unwrap();
    world.install_identity(&key, &issued, later(begun, HOUR));
    let identity =
        picket_identity::bundle::load_even_expired(&world.path("identity"), later(begun, HOUR)).unwrap();
    let expected = identity.gateway_expectation().unwrap();
    let gateway = world.gateway_for("acme");
    let refusal = picket_identity::verify::verify_gateway(gateway.chain(), &expected, now()).unwrap_err();
    assert_eq!(refusal.reason, Reason::Expired);

    // What the platform CA says, whose time is over then, counts no more either.
    let update = world.trust(SEQUENCE, Vec::new());
    let verify = |at| verify_trust(&update, identity.id(), identity.peers(), at);
    assert!(verify(now()).is_ok());
    let refused = verify(certain_time(now(), &identity)).unwrap_err();
    assert!(refused.to_string().contains("not now"), "{refused}");
    assert_eq!(certain_time(later(begun, HOUR), &identity), later(begun, HOUR));
}
