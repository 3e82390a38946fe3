//! Results on their way to a gateway, over mutual TLS on loopback.

use std::time::Duration;

use picket_proto::agent::v1::pull_request::Kind as Ask;
use picket_proto::agent::v1::pull_response::Kind as Answer;
use picket_proto::agent::v1::{FailureClass, PullCredit, PullResponse, RunCheckRequest, SealedBatch, Status};
use picket_proto::health::v1::HealthCheckRequest;
use picket_proto::health::v1::health_client::HealthClient;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::world::{World, acknowledge, ask, results, start};

fn with_noop() -> World {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    world
}

#[tokio::test]
async fn a_poll_gives_sealed_results_and_ends_with_idle() {
    let world = with_noop();
    let running = world.start().await;
    results(&running, 2).await;
    let mut gateway = world.gateway(&running).await;
    let batches = gateway.poll(start("", 0, false)).await;
    let first = &batches[0];
    assert_eq!((first.header.first_seq, first.header.lost.len()), (1, 0));
    let result = &first.results[0];
    assert_eq!(
        (result.check.as_str(), result.status(), result.interval_ms),
        ("nothing", Status::Ok, 1_000)
    );
    assert!(result.usage.is_some_and(|usage| usage.wall_limit_us > 0));
    let (stream, last) = (
        first.header.stream.clone(),
        batches.last().unwrap().header.last_seq,
    );
    // The next poll goes on where the platform stands.
    results(&running, last + 1).await;
    let next = gateway.poll(start(&stream, last, false)).await;
    assert_eq!(next[0].header.first_seq, last + 1);
    running.stop().await;
}

/// The next batch within a time; what says that there is nothing more is passed over.
async fn next_batch(answers: &mut Streaming<PullResponse>, within: Duration) -> Option<SealedBatch> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let answer = tokio::time::timeout_at(deadline, answers.message())
            .await
            .ok()?
            .unwrap();
        if let Answer::Batch(batch) = answer.expect("a pull that follows doesn't end").kind.unwrap() {
            return Some(batch);
        }
    }
}

#[tokio::test]
async fn a_pull_that_follows_gets_results_as_they_are_made_within_its_credit() {
    let world = with_noop();
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let (requests, receiver) = tokio::sync::mpsc::channel(8);
    let mut first = start("", 0, true);
    first.credit = 1;
    requests.send(ask(Ask::Start(first))).await.unwrap();
    let mut answers = gateway
        .client
        .pull(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let mut expected = 1;
    let mut stream = String::new();
    while expected < 4 {
        let batch = next_batch(&mut answers, Duration::from_secs(20))
            .await
            .expect("results are made each second");
        let opened = gateway.open(&batch);
        assert_eq!(opened.header.first_seq, expected);
        expected = opened.header.last_seq + 1;
        stream = opened.header.stream;
        requests.send(acknowledge(&stream, expected - 1)).await.unwrap();
        let without_credit = next_batch(&mut answers, Duration::from_millis(1_500)).await;
        assert!(without_credit.is_none(), "a batch came without credit");
        requests
            .send(ask(Ask::Credit(PullCredit { batches: 1 })))
            .await
            .unwrap();
    }
    drop((requests, answers));
    assert_eq!(running.spool().view().stream().to_string(), stream);
    assert!(running.spool().view().acknowledged() >= 1);
    running.stop().await;
}

#[tokio::test]
async fn results_survive_a_restart_of_the_agent() {
    let world = with_noop();
    let running = world.start().await;
    results(&running, 1).await;
    running.stop().await;
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let batches = gateway.poll(start("", 0, false)).await;
    assert_eq!(batches[0].header.first_seq, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_is_no_larger_than_the_gateway_takes() {
    let world = with_noop();
    let running = world.start().await;
    for _ in 0..200 {
        running.spool().append(vec![0; 100]).await;
    }
    running.spool().flush().await;
    let mut gateway = world.gateway(&running).await;
    let mut small = start("", 0, false);
    small.max_batch_bytes = 4 << 10;
    let mut answers = gateway
        .client
        .pull(tokio_stream::iter([ask(Ask::Start(small))]))
        .await
        .unwrap()
        .into_inner();
    let mut batches = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        if let Answer::Batch(batch) = answer.kind.unwrap() {
            let header =
                <picket_proto::agent::v1::BatchHeader as prost::Message>::decode(batch.header).unwrap();
            assert!(header.opened_size <= 5 << 10, "{}", header.opened_size);
            batches += 1;
        }
    }
    assert!(batches >= 5);
    running.stop().await;
}

#[tokio::test]
async fn a_check_runs_when_it_is_asked_to_and_its_result_is_in_the_spool() {
    let world = with_noop();
    world.add_check("rare", "noop", "");
    let text = std::fs::read_to_string(world.path("checks.d/rare.toml")).unwrap();
    world.write("checks.d/rare.toml", &text.replace("\"1s\"", "\"1h\""));
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let answer = gateway
        .client
        .run_check(RunCheckRequest {
            check: "rare".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.result.as_ref().unwrap().status(), Status::Ok);
    let batches = gateway.poll(start("", 0, false)).await;
    let all: Vec<_> = batches.iter().flat_map(|batch| batch.results.iter()).collect();
    assert_eq!(all[answer.seq as usize - 1], answer.result.as_ref().unwrap());
    for (check, code) in [("other", Code::NotFound), ("../x", Code::InvalidArgument)] {
        let request = RunCheckRequest {
            check: check.to_owned(),
        };
        assert_eq!(gateway.client.run_check(request).await.unwrap_err().code(), code);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_hostile_checker_gives_an_unknown_result_and_the_others_go_on() {
    let world = with_noop();
    world.install_guest("spin");
    world.add_check("spin", "spin", "");
    let limited = "listen = \"127.0.0.1:0\"\n[limits]\ncpu = \"100ms\"\n";
    world.write("agent.toml", limited);
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let spun = gateway
        .client
        .run_check(RunCheckRequest {
            check: "spin".to_owned(),
        })
        .await;
    let result = match spun {
        Ok(answer) => answer.into_inner().result.unwrap(),
        // It was running in its turn just now.
        Err(status) => {
            assert_eq!(status.code(), Code::FailedPrecondition);
            results(&running, 4).await;
            let batches = gateway.poll(start("", 0, false)).await;
            batches
                .into_iter()
                .flat_map(|batch| batch.results)
                .find(|result| result.check == "spin")
                .unwrap()
        }
    };
    assert_eq!(
        (result.status(), result.failure()),
        (Status::Unknown, FailureClass::Cpu),
        "{result:?}"
    );
    let answer = gateway
        .client
        .run_check(RunCheckRequest {
            check: "nothing".to_owned(),
        })
        .await;
    assert!(answer.is_ok_and(|answer| answer.into_inner().result.unwrap().status() == Status::Ok));
    running.stop().await;
}

#[tokio::test]
async fn everybody_but_a_gateway_for_this_tenant_is_refused_in_the_handshake() {
    let world = with_noop();
    let running = world.start().await;
    assert!(world.dial(&running, &world.gateway_for("acme")).await.is_ok());
    for stranger in [
        world.gateway_for("globex"),
        world.other_agent(),
        World::new().gateway_for("acme"),
    ] {
        let refused = world.dial(&running, &stranger).await;
        assert!(refused.is_err(), "{} was let in", stranger.id());
    }
    running.stop().await;
}

#[tokio::test]
async fn a_pull_that_makes_no_sense_is_refused_in_words() {
    let world = with_noop();
    let running = world.start().await;
    results(&running, 1).await;
    let mut gateway = world.gateway(&running).await;
    let no_credit = picket_proto::agent::v1::PullStart {
        credit: 0,
        ..start("", 0, false)
    };
    let no_bytes = picket_proto::agent::v1::PullStart {
        max_batch_bytes: 1,
        ..start("", 0, false)
    };
    let bad = [
        vec![],
        vec![acknowledge("", 1)],
        vec![ask(Ask::Start(no_credit))],
        vec![ask(Ask::Start(no_bytes))],
        vec![ask(Ask::Start(start("not-a-uuid", 0, false)))],
        vec![
            ask(Ask::Start(start("", 0, true))),
            ask(Ask::Start(start("", 0, true))),
        ],
        vec![
            ask(Ask::Start(start("", 0, true))),
            acknowledge(&uuid::Uuid::nil().to_string(), u64::MAX),
        ],
    ];
    for requests in bad {
        let shown = format!("{requests:?}");
        let mut answers = match gateway.client.pull(tokio_stream::iter(requests)).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{shown}");
                continue;
            }
        };
        let status = loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("accepted: {shown}"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{shown}: {status}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_cursor_that_this_spool_never_reached_begins_a_new_stream() {
    let world = with_noop();
    let running = world.start().await;
    results(&running, 1).await;
    let mut gateway = world.gateway(&running).await;
    let old = gateway.describe().await.spool.unwrap().stream;
    gateway.poll(start(&old, 1_000, false)).await;
    assert_ne!(gateway.describe().await.spool.unwrap().stream, old);
    running.stop().await;
}

#[tokio::test]
async fn describe_and_health_say_what_the_agent_is() {
    let world = with_noop();
    world.add_check("broken", "noop", "allowed = []");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let description = gateway.describe().await;
    assert_eq!(description.spiffe_id, world.agent_id().to_string());
    assert_eq!(description.checker_lines, ["picket:checker@0.1"]);
    let broken = description
        .checks
        .iter()
        .find(|check| check.name == "broken")
        .unwrap();
    assert!(
        broken.problem.contains("did you mean `allow`?"),
        "{}",
        broken.problem
    );
    let nothing = description
        .checks
        .iter()
        .find(|check| check.name == "nothing")
        .unwrap();
    assert_eq!((nothing.problem.as_str(), nothing.interval_ms), ("", 1_000));
    assert_eq!(description.checkers.len(), 1);
    assert_eq!(description.checkers[0].digest.len(), 64);

    let connection = world.dial(&running, &world.gateway_for("acme")).await.unwrap();
    let mut health = HealthClient::new(connection.channel.clone());
    for service in [
        "",
        "picket.agent.v1.Agent",
        "picket.agent.v1.Renewal",
        "picket.agent.v1.Trust",
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        assert_eq!(
            health.check(request).await.unwrap().into_inner().status,
            1,
            "{service}"
        );
    }
    let unknown = HealthCheckRequest {
        service: "x".to_owned(),
    };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    running.stop().await;
}
