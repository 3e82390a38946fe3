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
