//! What customers get wrong: each gives a sentence with what, where, and what to do.

use picket_proto::agent::v1::{FailureClass, RunCheckRequest, Status};

use crate::world::World;

async fn refusal(world: &World) -> (String, u8) {
    let error = world.try_start().await.err().unwrap();
    (error.to_string(), error.exit_code())
}

#[tokio::test]
async fn an_agent_without_a_certificate_says_how_to_get_one() {
    let (sentence, code) = refusal(&World::not_enrolled()).await;
    assert!(sentence.contains("agent-host enroll"), "{sentence}");
    assert_eq!(code, 78);
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    world.write("agent.toml", &format!("listen = \"{address}\""));
    let (sentence, code) = refusal(&world).await;
    assert!(
        sentence.contains(&address.to_string()) && sentence.contains("another program has this port"),
        "{sentence}"
    );
    assert_eq!(code, 69);
}

#[tokio::test]
async fn a_data_folder_that_is_none_is_named() {
    let world = World::new();
    world.write("data", "a file");
    let (sentence, code) = refusal(&world).await;
    assert!(
        sentence.contains("data_dir") && sentence.contains("can write to"),
        "{sentence}"
    );
    assert_eq!(code, 78);
}

#[tokio::test]
async fn a_second_agent_on_the_same_folder_is_refused() {
    let world = World::new();
    let running = world.start().await;
    let (sentence, code) = refusal(&world).await;
    assert!(sentence.contains("in use by another agent-host"), "{sentence}");
    assert_eq!(code, 69);
    running.stop().await;
}

#[tokio::test]
async fn corrupt_and_foreign_checkers_give_results_that_say_so_and_harm_nobody() {
    let world = World::new();
    world.install_guest("noop");
    world.install_guest("wrong-version");
    std::fs::write(
        world.path("checkers/corrupt.wasm"),
        b"\0asm\x0d\0\x01\0\xff\xff\xff",
    )
    .unwrap();
    world.add_check("fine", "noop", "");
    world.add_check("foreign", "wrong-version", "");
    world.add_check("broken", "corrupt", "");
    world.add_check("typo", "nop", "");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    for (check, words) in [
        ("foreign", "picket:checker"),
        ("broken", "corrupt.wasm"),
        ("typo", "did you mean `noop`?"),
    ] {
        let answer = crate::world::eventually("a run", || async {
            gateway
                .client
                .clone()
                .run_check(RunCheckRequest {
                    check: check.to_owned(),
                })
                .await
                .ok()
        })
        .await;
        let result = answer.into_inner().result.unwrap();
        assert_eq!(
            (result.status(), result.failure()),
            (Status::Unknown, FailureClass::NoChecker),
            "{result:?}"
        );
        assert!(result.summary.contains(words), "{}", result.summary);
    }
    let fine = gateway
        .describe()
        .await
        .checks
        .into_iter()
        .find(|check| check.name == "fine")
        .unwrap();
    assert_eq!(fine.problem, "");
    running.stop().await;
}

#[tokio::test]
async fn metrics_are_served_on_loopback() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::new();
    let running = world.start().await;
    let mut stream = tokio::net::TcpStream::connect(running.addresses().metrics.unwrap())
        .await
        .unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    running.stop().await;
}

/// Lines of the contract, as a customer meets them: in what the agent says of itself, and in the check's result.
#[tokio::test]
async fn checkers_of_other_lines_are_refused_in_words_wherever_they_are_looked_at() {
    let expected: [(&str, &[&str]); 6] = [
        ("next-line", &["0.2.0", "0.1.0", "update the agent"]),
        ("wrong-version", &["0.9.0", "0.1.0", "update the agent"]),
        (
            "imports-shell",
            &["picket:checker/shell@0.1.0", "update the agent"],
        ),
        (
            "imports-later-function",
            &["keys of picket:checker/state@0.1.9", "update the agent"],
        ),
        (
            "exports-other",
            &["other:tool/convert@1.0.0", "picket:checker/check"],
        ),
        ("exports-other-types", &["0.1.0", "build it again with the SDK"]),
    ];
    let world = World::new();
    for (guest, _) in expected {
        world.install_guest(guest);
        world.add_check(guest, guest, "");
    }
    world.install_guest("later-version");
    world.add_check("later-version", "later-version", "");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let described = gateway.describe().await;
    for (guest, words) in expected {
        let checker = described
            .checkers
            .iter()
            .find(|checker| checker.problem.contains(&format!("/{guest}.wasm")))
            .unwrap();
        let check = described.checks.iter().find(|check| check.name == guest).unwrap();
        let result = run(&gateway, guest).await;
        assert_eq!(
            (result.status(), result.failure()),
            (Status::Unknown, FailureClass::NoChecker),
            "{result:?}"
        );
        for sentence in [&checker.problem, &check.problem, &result.summary] {
            for word in words {
                assert!(sentence.contains(word), "{word:?} isn't in: {sentence}");
            }
            for linkers in ["linker", "instance", "implementation", "mismatch"] {
                assert!(!sentence.contains(linkers), "{linkers:?} is in: {sentence}");
            }
        }
    }
    // A later version of this line that wants nothing new runs.
    let later = run(&gateway, "later-version").await;
    assert_eq!(later.status(), Status::Ok, "{later:?}");
    running.stop().await;
}

/// Runs a check; again where it was running in its turn just then.
async fn run(gateway: &crate::world::Gateway, check: &str) -> picket_proto::agent::v1::CheckResult {
    let request = RunCheckRequest {
        check: check.to_owned(),
    };
    let answer = crate::world::eventually("a run", || async {
        gateway.client.clone().run_check(request.clone()).await.ok()
    });
    answer.await.into_inner().result.unwrap()
}
