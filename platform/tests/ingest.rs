//! Ingest against a real database: what is stored, what isn't, and what is answered.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

#[path = "support/site.rs"]
mod site;

use picket_platform::ingest::{Answer, Lane, admit};
use picket_platform::store;
use picket_proto::agent::v1::{LossCause, LostRange, SealedBatch, Status};
use picket_proto::platform::v1::{SubmitOutcome, SubmitRequest};
use site::{Agent, Site, result, results};
use sqlx::Row as _;

struct Bench {
    site: Site,
    lane: Lane,
    agent: Agent,
}

impl Bench {
    async fn new() -> Self {
        let site = Site::new().await;
        site.tenant("acme").await;
        let agent = site.agent("acme", "berlin-1").await;
        site.gateway("gw-1").await;
        site.join("gw-1", "boot").await;
        let lane = Lane::start(site.services.clone());
        Self { site, lane, agent }
    }

    async fn hand_in(&self, request: SubmitRequest) -> Answer {
        match admit(&self.site.services, "gw-1", request).await.unwrap() {
            Ok(submission) => self.lane.submit(submission).await.await.unwrap(),
            Err(answer) => answer,
        }
    }

    async fn submit(&self, batch: SealedBatch) -> Answer {
        let request = self.site.request(&self.agent, "boot", batch).await;
        self.hand_in(request).await
    }

    async fn count(&self, table: &'static str) -> i64 {
        let mut read = self.site.services.store.read().await.unwrap();
        let sql = match table {
            "sample_chunk" => "SELECT COUNT(*) FROM sample_chunk",
            "check_state" => "SELECT COUNT(*) FROM check_state",
            "state_event" => "SELECT COUNT(*) FROM state_event",
            "result_gap" => "SELECT COUNT(*) FROM result_gap",
            "open alerts" => "SELECT COUNT(*) FROM alert WHERE resolved_at IS NULL",
            "alert" => "SELECT COUNT(*) FROM alert",
            other => panic!("{other}"),
        };
        sqlx::query(sql).fetch_one(&mut *read).await.unwrap().get(0)
    }

    async fn refuses(&self, batch: SealedBatch, why: &str) {
        let answer = self.submit(batch).await;
        assert_eq!(answer.outcome, SubmitOutcome::Refused, "{answer:?}");
        assert!(
            answer.detail.contains(why),
            "{why:?} is not in {:?}",
            answer.detail
        );
        assert_eq!(self.count("sample_chunk").await, 0);
    }
}

fn lost(first_seq: u64, last_seq: u64) -> LostRange {
    LostRange {
        first_seq,
        last_seq,
        cause: LossCause::Quota.into(),
    }
}

#[tokio::test]
async fn a_batch_is_stored_as_it_was_sealed_and_its_states_and_alerts_with_it() {
    let bench = Bench::new().await;
    let mut events = bench.site.services.events.subscribe();
    let batch = bench.agent.seal(
        "s1",
        1,
        results(1, &[Status::Ok, Status::Critical, Status::Critical]),
    );
    let answer = bench.submit(batch.clone()).await;
    assert_eq!(
        (answer.outcome, answer.stream.as_str(), answer.committed_seq),
        (SubmitOutcome::Committed, "s1", 3)
    );
    assert_eq!(bench.count("state_event").await, 2);
    assert_eq!(bench.count("open alerts").await, 1);
    assert!(events.try_recv().is_ok());

    let mut read = bench.site.services.store.read().await.unwrap();
    let row = sqlx::query("SELECT header, payload, signature FROM sample_chunk")
        .fetch_one(&mut *read)
        .await
        .unwrap();
    assert_eq!(row.get::<Vec<u8>, _>(0), batch.header.to_vec());
    assert_eq!(row.get::<Vec<u8>, _>(1), batch.payload.to_vec());
    assert_eq!(row.get::<Vec<u8>, _>(2), batch.signature.to_vec());
    let state = store::checks::find(&mut read, "acme", "berlin-1", "web")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (state.status.as_str(), state.since_at, state.seq),
        ("critical", 2000, 3)
    );
}

#[tokio::test]
async fn an_alert_is_raised_once_and_resolved_when_the_check_is_ok_again() {
    let bench = Bench::new().await;
    bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Warning])))
        .await;
    bench
        .submit(bench.agent.seal("s1", 2, results(2, &[Status::Critical])))
        .await;
    bench
        .submit(bench.agent.seal("s1", 3, results(3, &[Status::Unknown])))
        .await;
    assert_eq!(
        (bench.count("alert").await, bench.count("open alerts").await),
        (1, 1)
    );
    bench
        .submit(bench.agent.seal("s1", 4, results(4, &[Status::Ok])))
        .await;
    assert_eq!(
        (bench.count("alert").await, bench.count("open alerts").await),
        (1, 0)
    );
}

#[tokio::test]
async fn the_same_batch_again_is_a_duplicate_and_stores_nothing() {
    let bench = Bench::new().await;
    let batch = bench.agent.seal("s1", 1, results(1, &[Status::Ok, Status::Ok]));
    bench.submit(batch.clone()).await;
    let again = bench.submit(batch).await;
    assert_eq!(
        (again.outcome, again.committed_seq),
        (SubmitOutcome::Duplicate, 2)
    );
    assert_eq!(bench.count("sample_chunk").await, 1);
}

#[tokio::test]
async fn a_hole_is_a_gap_with_the_place_to_go_on_from() {
    let bench = Bench::new().await;
    bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Ok])))
        .await;
    let answer = bench
        .submit(bench.agent.seal("s1", 5, results(5, &[Status::Ok])))
        .await;
    assert_eq!((answer.outcome, answer.committed_seq), (SubmitOutcome::Gap, 1));
}

#[tokio::test]
async fn what_the_agent_lost_is_recorded_with_its_cause() {
    let bench = Bench::new().await;
    bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Ok])))
        .await;
    let batch = bench
        .agent
        .seal_as("s1", 5, results(5, &[Status::Ok]), vec![lost(2, 4)], |_| {});
    assert_eq!(bench.submit(batch).await.outcome, SubmitOutcome::Committed);
    let mut read = bench.site.services.store.read().await.unwrap();
    let row = sqlx::query("SELECT first_seq, last_seq, cause FROM result_gap")
        .fetch_one(&mut *read)
        .await
        .unwrap();
    assert_eq!(
        (
            row.get::<i64, _>(0),
            row.get::<i64, _>(1),
            row.get::<String, _>(2)
        ),
        (2, 4, "quota".into())
    );
    let cursor = store::cursors::find(&mut read, "acme", "berlin-1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(cursor.lost_total, 3);
}

#[tokio::test]
async fn a_wiped_spool_begins_a_new_stream_and_the_old_ones_end_is_marked() {
    let bench = Bench::new().await;
    bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Ok, Status::Ok])))
        .await;
    let answer = bench
        .submit(bench.agent.seal("s2", 1, results(1, &[Status::Critical])))
        .await;
    assert_eq!(
        (answer.outcome, answer.stream.as_str(), answer.committed_seq),
        (SubmitOutcome::Committed, "s2", 1)
    );
    assert_eq!(bench.count("result_gap").await, 1);
    // What is left of the old one can still be handed in, and what of it is here is not stored again.
    let replay = bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Ok, Status::Ok])))
        .await;
    assert_eq!(
        (replay.outcome, replay.stream.as_str(), replay.committed_seq),
        (SubmitOutcome::Duplicate, "s1", 2)
    );
}

#[tokio::test]
async fn under_an_old_epoch_or_by_another_process_it_is_stale() {
    let bench = Bench::new().await;
    let batch = bench.agent.seal("s1", 1, results(1, &[Status::Ok]));
    let request = bench.site.request(&bench.agent, "boot", batch).await;
    let other_process = SubmitRequest {
        instance: "another".into(),
        ..request.clone()
    };
    assert_eq!(bench.hand_in(other_process).await.outcome, SubmitOutcome::Stale);
    let old_epoch = SubmitRequest {
        epoch: request.epoch - 1,
        ..request
    };
    assert_eq!(bench.hand_in(old_epoch).await.outcome, SubmitOutcome::Stale);
    assert_eq!(bench.count("sample_chunk").await, 0);
}

#[tokio::test]
async fn a_batch_of_another_tenants_agent_is_refused_whatever_it_is_handed_in_as() {
    let bench = Bench::new().await;
    bench.site.tenant("globex").await;
    let foreign = bench.site.agent("globex", "berlin-1").await;
    // Globex's batch under acme's name, and globex's signature under acme's SPIFFE ID.
    bench
        .refuses(foreign.seal("s1", 1, results(1, &[Status::Ok])), "expected")
        .await;
    let id = bench.agent.spiffe_id.clone();
    let claimed = foreign.seal_as("s1", 1, results(1, &[Status::Ok]), vec![], |header| {
        header.spiffe_id = id;
    });
    bench.refuses(claimed, "never issued to this agent").await;
    let (id, serial) = (bench.agent.spiffe_id.clone(), bench.agent.serial.clone());
    let forged = foreign.seal_as("s1", 1, results(1, &[Status::Ok]), vec![], |header| {
        header.spiffe_id = id;
        header.certificate_serial = serial;
    });
    bench.refuses(forged, "signature").await;
}

#[tokio::test]
async fn a_gateway_of_another_pool_can_hand_nothing_in() {
    let bench = Bench::new().await;
    let mut write = bench.site.services.store.write().await.unwrap();
    store::registry::insert_pool(&mut write, "globex", None, 4)
        .await
        .unwrap();
    store::gateways::insert(
        &mut write,
        "gw-2",
        "globex",
        "spiffe://picket.test/gateway/gw-2",
        1,
    )
    .await
    .unwrap();
    write.commit().await.unwrap();
    let batch = bench.agent.seal("s1", 1, results(1, &[Status::Ok]));
    let request = bench.site.request(&bench.agent, "boot", batch).await;
    let submission = admit(&bench.site.services, "gw-2", request)
        .await
        .unwrap()
        .unwrap();
    let answer = bench.lane.submit(submission).await.await.unwrap();
    assert_eq!(answer.outcome, SubmitOutcome::Refused);
}

#[tokio::test]
async fn an_altered_byte_anywhere_is_refused() {
    let bench = Bench::new().await;
    let sealed = bench.agent.seal("s1", 1, results(1, &[Status::Ok]));
    let flip = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for at in 0..sealed.payload.len() {
        let altered = SealedBatch {
            payload: flip(&sealed.payload, at).into(),
            ..sealed.clone()
        };
        bench.refuses(altered, "digest").await;
    }
    for at in 0..sealed.header.len() {
        let altered = SealedBatch {
            header: flip(&sealed.header, at).into(),
            ..sealed.clone()
        };
        assert_eq!(
            bench.submit(altered).await.outcome,
            SubmitOutcome::Refused,
            "header byte {at}"
        );
    }
    let altered = SealedBatch {
        signature: flip(&sealed.signature, 10).into(),
        ..sealed
    };
    bench.refuses(altered, "signature").await;
}

#[tokio::test]
async fn a_decompression_bomb_is_refused_unopened() {
    let bench = Bench::new().await;
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 30), 3).unwrap();
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bomb)
        .as_ref()
        .to_vec();
    let mut header = None;
    bench
        .agent
        .seal_as("s1", 1, vec![result(1, Status::Ok)], vec![], |original| {
            header = Some(original.clone());
        });
    let mut header = header.unwrap();
    header.payload_sha256 = sha256.into();
    let honest = picket_proto::agent::v1::BatchHeader {
        opened_size: 1 << 30,
        ..header.clone()
    };
    bench
        .refuses(bench.agent.sign(&honest, bomb.clone()), "at most")
        .await;
    let lying = picket_proto::agent::v1::BatchHeader {
        opened_size: 1000,
        ..header
    };
    bench
        .refuses(
            bench.agent.sign(&lying, bomb),
            "opens to 1001 bytes where 1000 were declared",
        )
        .await;
}

#[tokio::test]
async fn a_header_that_contradicts_its_payload_is_refused() {
    let bench = Bench::new().await;
    let one = || vec![result(1, Status::Ok)];
    bench
        .refuses(
            bench
                .agent
                .seal_as("s1", 1, one(), vec![], |header| header.last_seq = 2),
            "holds 1 results",
        )
        .await;
    bench
        .refuses(
            bench
                .agent
                .seal_as("s1", 1, one(), vec![], |header| header.opened_size += 1),
            "declared",
        )
        .await;
    bench
        .refuses(
            bench
                .agent
                .seal_as("s1", 1, one(), vec![], |header| header.first_seq = 0),
            "sequence numbers",
        )
        .await;
    bench
        .refuses(
            bench
                .agent
                .seal_as("s1", 1, one(), vec![], |header| header.last_seq = u64::MAX),
            "sequence",
        )
        .await;
    bench
        .refuses(bench.agent.seal_as("", 1, one(), vec![], |_| {}), "stream")
        .await;
    bench
        .refuses(
            bench
                .agent
                .seal_as("s1", 1, one(), vec![], |header| header.codec = 7),
            "codec",
        )
        .await;
    let mut nameless = result(1, Status::Ok);
    nameless.check = "../etc".into();
    bench
        .refuses(bench.agent.seal("s1", 1, vec![nameless]), "result 1 is wrong")
        .await;
}

#[tokio::test]
async fn a_superseded_certificates_signature_is_taken_for_15_minutes() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", true).await;
    bench.site.enrolled("acme", "berlin-1", &file).await;
    bench.site.join("gw-1", "boot").await;
    let first = bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Ok])))
        .await;
    assert_eq!(first.outcome, SubmitOutcome::Committed, "{first:?}");
    bench.site.clock.advance(15 * 60_000);
    bench.site.join("gw-1", "boot").await;
    let late = bench
        .submit(bench.agent.seal("s1", 2, results(2, &[Status::Ok])))
        .await;
    assert_eq!(late.outcome, SubmitOutcome::Refused, "{late:?}");
    assert!(late.detail.contains("superseded"), "{late:?}");
}

#[tokio::test]
async fn an_ended_certificates_signature_is_taken_for_a_day() {
    let bench = Bench::new().await;
    bench.site.clock.advance(90 * 86_400_000 + 1);
    bench.site.join("gw-1", "boot").await;
    let first = bench
        .submit(bench.agent.seal("s1", 1, results(1, &[Status::Ok])))
        .await;
    assert_eq!(first.outcome, SubmitOutcome::Committed, "{first:?}");
    bench.site.clock.advance(86_400_000);
    bench.site.join("gw-1", "boot").await;
    let late = bench
        .submit(bench.agent.seal("s1", 2, results(2, &[Status::Ok])))
        .await;
    assert_eq!(late.outcome, SubmitOutcome::Refused, "{late:?}");
    assert!(late.detail.contains("has ended"), "{late:?}");
}

#[tokio::test]
async fn a_revoked_certificates_signature_is_refused_at_once() {
    let bench = Bench::new().await;
    bench
        .site
        .services
        .authority
        .revoke_agent(
            &"acme".parse().unwrap(),
            &"berlin-1".parse().unwrap(),
            Some(&bench.agent.serial),
            "test",
        )
        .await
        .unwrap();
    bench
        .refuses(bench.agent.seal("s1", 1, results(1, &[Status::Ok])), "revoked")
        .await;
}

#[tokio::test]
async fn a_revoked_gateway_hands_in_nothing_more() {
    let bench = Bench::new().await;
    let request = bench
        .site
        .request(
            &bench.agent,
            "boot",
            bench.agent.seal("s1", 1, results(1, &[Status::Ok])),
        )
        .await;
    // Admitted before it is revoked, and committed after: what counts is the moment of the commit.
    let submission = admit(&bench.site.services, "gw-1", request)
        .await
        .unwrap()
        .unwrap();
    bench
        .site
        .services
        .authority
        .revoke_gateway(&"gw-1".parse().unwrap(), "test")
        .await
        .unwrap();
    let answer = bench.lane.submit(submission).await.await.unwrap();
    assert_eq!(answer.outcome, SubmitOutcome::Refused, "{answer:?}");
    assert_eq!(bench.count("sample_chunk").await, 0);
}

#[tokio::test]
async fn many_batches_at_once_are_each_stored_once() {
    let bench = Bench::new().await;
    let mut answers = Vec::new();
    for seq in 1..=100 {
        let batch = bench.agent.seal("s1", seq, vec![result(seq, Status::Ok)]);
        let request = bench.site.request(&bench.agent, "boot", batch).await;
        let submission = admit(&bench.site.services, "gw-1", request)
            .await
            .unwrap()
            .unwrap();
        answers.push(bench.lane.submit(submission.clone()).await);
        answers.push(bench.lane.submit(submission).await);
    }
    let mut committed = 0;
    for answer in answers {
        let answer = answer.await.unwrap();
        committed += u32::from(answer.outcome == SubmitOutcome::Committed);
    }
    assert_eq!((committed, bench.count("sample_chunk").await), (100, 100));
}
