//! Commands as checkers: dropped into the folder, configured with arguments, and their results as any other's.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use picket_proto::agent::v1::{CheckResult, FailureClass, RunCheckRequest, Status};

use crate::command_line::{agent_host, text};
use crate::world::{Gateway, World, eventually};

pub(crate) fn command(name: &str) -> PathBuf {
    let folder = std::env::var_os("PICKET_COMMANDS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/commands"),
        PathBuf::from,
    );
    let path = folder.join(name).with_extension("wasm");
    assert!(
        path.exists(),
        "{} is missing: build the commands with `cargo xtask checkers`, or name their folder in PICKET_COMMANDS_DIR",
        path.display()
    );
    path
}

fn install(world: &World, name: &str) {
    let built = command(name);
    let file = world.path("checkers").join(built.file_name().unwrap());
    let temporary = file.with_extension("part");
    std::fs::copy(built, &temporary).unwrap();
    std::fs::rename(temporary, file).unwrap();
}

/// A check with these arguments and grants.
fn add_check(world: &World, name: &str, checker: &str, arguments: &[&str], allow: &[&str]) {
    let more = format!("allow = {allow:?}\n[check.{name}.config]\narguments = {arguments:?}");
    world.add_check(name, checker, &more);
}

async fn run(gateway: &Gateway, check: &str) -> CheckResult {
    let answer = eventually("a run", || async {
        let request = RunCheckRequest {
            check: check.to_owned(),
        };
        gateway.client.clone().run_check(request).await.ok()
    })
    .await;
    answer.into_inner().result.unwrap()
}

#[tokio::test]
async fn a_command_that_is_dropped_in_gives_results_with_typed_metrics() {
    let world = World::new();
    install(&world, "check_file_age");
    install(&world, "check_port");
    world.write("watched", "four");
    let file = world.path("watched").display().to_string();
    let grant = format!("read:{}", world.path("").display());
    add_check(
        &world,
        "age",
        "check_file_age",
        &["-w", "3600", "-c", "7200", "-m", "5", &file],
        &[&grant],
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let grant = format!("tcp:127.0.0.1:{port}");
    // By the name that it has from its file, too.
    add_check(
        &world,
        "port",
        "check-port",
        &["-H", "127.0.0.1", "-p", &port, "-w", "30", "-c", "60"],
        &[&grant],
    );
    let running = world.start().await;
    let gateway = world.gateway(&running).await;

    let age = run(&gateway, "age").await;
    assert_eq!(
        (age.status(), age.failure()),
        (Status::Critical, FailureClass::Unspecified),
        "{age:?}"
    );
    assert_eq!(
        (age.checker.as_str(), age.checker_version.as_str()),
        ("check-file-age", "1.0.0")
    );
    let size = age.metrics.iter().find(|metric| metric.name == "size").unwrap();
    assert_eq!(
        (size.value, size.unit.as_str(), size.critical.as_deref()),
        (4.0, "By", Some("5:"))
    );
    assert!(age.usage.unwrap().cpu_us > 0);

    let port = run(&gateway, "port").await;
    assert_eq!(port.status(), Status::Ok, "{port:?}");
    assert_eq!(
        (port.metrics[0].name.as_str(), port.metrics[0].unit.as_str()),
        ("time", "s")
    );
    running.stop().await;
}

#[tokio::test]
async fn what_a_command_was_denied_is_in_the_details_of_its_result() {
    let world = World::new();
    install(&world, "check_port");
    add_check(&world, "port", "check_port", &["-H", "10.1.2.3", "-p", "22"], &[]);
    let running = world.start().await;
    let result = run(&world.gateway(&running).await, "port").await;
    assert_eq!(result.status(), Status::Critical);
    assert!(
        result.summary.starts_with("PORT CRITICAL: 10.1.2.3 port 22: "),
        "{}",
        result.summary
    );
    assert!(
        result
            .details
            .contains("add allow = [\"tcp:10.1.2.3:22\"] to the check"),
        "{}",
        result.details
    );
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_in_a_commands_configuration_is_a_problem_of_its_check() {
    let world = World::new();
    install(&world, "check_port");
    world.add_check("port", "check_port", "[check.port.config]\nargs = [\"-H\"]");
    let running = world.start().await;
    let result = run(&world.gateway(&running).await, "port").await;
    assert_eq!(result.failure(), FailureClass::InvalidConfig);
    assert!(
        result.summary.contains("did you mean `arguments`?"),
        "{}",
        result.summary
    );
    running.stop().await;
}

#[test]
fn check_run_nagios_prints_the_line_of_the_command_again() {
    let world = World::new();
    install(&world, "hostile/exit_code");
    for (index, (code, line)) in [
        (
            "0",
            "DISK OK - free: 3326 MB | /=2643MB;5948;5958;0;5968 'a b'=1.5s",
        ),
        ("1", "WARNING: slow | time=0.5s;0.2"),
        ("2", "CRITICAL"),
        ("3", "SERVICE UNKNOWN: usage"),
    ]
    .into_iter()
    .enumerate()
    {
        let check = format!("line-{index}");
        add_check(&world, &check, "exit_code", &[code, line], &[]);
        let output = agent_host(&world.path(""), &["check", "run", &check, "--nagios"]);
        assert_eq!(
            text(&output.stdout),
            format!("{line}\n"),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(output.status.code().unwrap().to_string(), code);
    }
}

#[test]
fn checker_inspect_shows_what_a_command_is_and_what_it_can_not_do() {
    let world = World::new();
    install(&world, "check_file_age");
    let inspected = agent_host(
        &world.path(""),
        &["checker", "inspect", "checkers/check_file_age.wasm"],
    );
    let shown = text(&inspected.stdout);
    assert!(
        shown.starts_with("check-file-age 1.0.0: a command that prints a Nagios line\n"),
        "{shown}{}",
        text(&inspected.stderr)
    );
    let cannot = shown.lines().find(|line| line.starts_with("can't: ")).unwrap();
    assert!(
        cannot.contains("open TCP connections") && !cannot.contains("read files"),
        "{cannot}"
    );
    let schema = agent_host(
        &world.path(""),
        &["checker", "inspect", "checkers/check_file_age.wasm", "-o", "json"],
    );
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(
        schema["config_schema"]["properties"]["arguments"]["type"],
        "array"
    );
}
