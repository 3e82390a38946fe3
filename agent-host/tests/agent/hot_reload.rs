//! What a customer changes while the agent runs.

use picket_proto::agent::v1::{CheckDescription, FailureClass, RunCheckRequest};

use crate::world::{Gateway, World, eventually};

async fn check(gateway: &Gateway, name: &str) -> Option<CheckDescription> {
    let mut client = gateway.client.clone();
    let description = client
        .describe(picket_proto::agent::v1::DescribeRequest {})
        .await
        .unwrap()
        .into_inner();
    description.checks.into_iter().find(|check| check.name == name)
}

#[tokio::test]
async fn a_dropped_checker_and_check_work_without_a_restart_and_go_when_removed() {
    let world = World::new();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    world.add_check("nothing", "noop", "");
    let problem = eventually("the check", || check(&gateway, "nothing"))
        .await
        .problem;
    assert!(
        problem.contains("put noop.wasm into the checkers folder"),
        "{problem}"
    );
    world.install_guest("noop");
    let is_well = || async {
        check(&gateway, "nothing")
            .await
            .filter(|check| check.problem.is_empty())
    };
    eventually("the checker", is_well).await;
    let request = RunCheckRequest {
        check: "nothing".to_owned(),
    };
    eventually("a run", || async {
        gateway.client.clone().run_check(request.clone()).await.ok()
    })
    .await;
    std::fs::remove_file(world.path("checks.d/nothing.toml")).unwrap();
    let is_gone = || async { check(&gateway, "nothing").await.is_none().then_some(()) };
    eventually("the check to go", is_gone).await;
    running.stop().await;
}

#[tokio::test]
async fn a_broken_replacement_is_shown_and_the_good_version_goes_on() {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let before = gateway.describe().await.checkers[0].clone();
    std::fs::write(world.path("checkers/noop.wasm"), "not wasm at all").unwrap();
    let client = gateway.client.clone();
    let broken = eventually("the problem", || async {
        let description = client
            .clone()
            .describe(picket_proto::agent::v1::DescribeRequest {})
            .await
            .unwrap();
        description
            .into_inner()
            .checkers
            .into_iter()
            .find(|checker| !checker.problem.is_empty())
    })
    .await;
    assert_eq!(broken.digest, before.digest);
    assert!(broken.problem.contains("noop.wasm"), "{}", broken.problem);
    let request = RunCheckRequest {
        check: "nothing".to_owned(),
    };
    let answer = eventually("a run", || async {
        gateway.client.clone().run_check(request.clone()).await.ok()
    })
    .await;
    assert_eq!(
        answer.into_inner().result.unwrap().failure(),
        FailureClass::Unspecified
    );
    running.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let world = World::new();
    let running = world.start().await;
    let serial = async || {
        let connection = world.dial(&running, &world.gateway_for("acme")).await.unwrap();
        connection.verified.serial().to_string()
    };
    let before = serial().await;
    world.enroll();
    let is_new = || async { (serial().await != before).then_some(()) };
    eventually("the new certificate", is_new).await;
    let good = serial().await;
    world.write("identity/leaf.pem", "-----BEGIN CERTIFICATE-----\n");
    world.add_check("nothing", "noop", "");
    let gateway = world.gateway(&running).await;
    // The folders are looked at together: once the check is there, the identity has been looked at as well.
    eventually("the check", || check(&gateway, "nothing")).await;
    assert_eq!(serial().await, good);
    running.stop().await;
}

/// A file that takes all the time that compiling may take keeps nobody else waiting: not its neighbours, not their checks,
/// and no gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_takes_long_to_compile_delays_no_other_checker() {
    let world = World::new();
    world.write(
        "agent.toml",
        "listen = \"127.0.0.1:0\"\n[sandbox]\ncompile_cpu = \"5s\"\ncompile_memory = \"1 GiB\"\n",
    );
    // Compiled once, and from then on in the cache.
    world.install_guest("noop");
    world.start().await.stop().await;
    std::fs::remove_file(world.path("checkers/noop.wasm")).unwrap();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let checker = |name: &'static str| {
        let client = gateway.client.clone();
        move || {
            let mut client = client.clone();
            async move {
                let description = client
                    .describe(picket_proto::agent::v1::DescribeRequest {})
                    .await
                    .unwrap();
                let mut checkers = description.into_inner().checkers.into_iter();
                checkers.find(|checker| checker.name == name)
            }
        }
    };
    let (_, bomb) = picket_forged::bombs::BOMBS
        .iter()
        .find(|(name, _)| *name == "wide-signatures")
        .unwrap();
    // On a machine with two processors these take every compiler's place.
    for number in 0..2 {
        std::fs::write(world.path(&format!("checkers/bomb-{number}.wasm")), bomb()).unwrap();
    }
    std::fs::write(world.path("checkers/bomb.wasm"), bomb()).unwrap();
    let slow = eventually("the bomb", checker("bomb")).await;
    assert!(slow.problem.contains("is being compiled"), "{}", slow.problem);
    world.add_check("slow", "bomb", "");
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    let request = RunCheckRequest {
        check: "nothing".to_owned(),
    };
    let run = || async { gateway.client.clone().run_check(request.clone()).await.ok() };
    eventually("a run of its neighbour", run).await;
    let slow = eventually("the bomb", checker("bomb")).await;
    assert!(slow.problem.contains("is being compiled"), "{}", slow.problem);
    // Its own check has no turn meanwhile, rather than a result each time that says so.
    let request = RunCheckRequest {
        check: "slow".to_owned(),
    };
    let refused = gateway.client.clone().run_check(request.clone()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::NotFound);
    let is_stopped = || async {
        let checker = checker("bomb")().await?;
        (!checker.problem.contains("is being compiled")).then_some(checker.problem)
    };
    let problem = eventually("the end of the bomb", is_stopped).await;
    assert!(
        problem.contains("compiling this component takes more than"),
        "{problem}"
    );
    let result = eventually("its check's turn", || async {
        gateway.client.clone().run_check(request.clone()).await.ok()
    });
    let result = result.await.into_inner().result.unwrap();
    assert_eq!(result.failure(), FailureClass::NoChecker);
    running.stop().await;
}
