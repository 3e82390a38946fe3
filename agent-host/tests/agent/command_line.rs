//! The program: its output, its sentences, its exit codes.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::world::World;

pub(crate) fn agent_host(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_agent-host"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn init_writes_everything_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let init = [
        "init",
        "--tenant",
        "acme",
        "--name",
        "berlin-1",
        "--listen",
        "127.0.0.1:0",
    ];
    let output = agent_host(folder.path(), &init);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), "./agent.toml");
    let talk = text(&output.stderr);
    for words in [
        "platform agent add --tenant acme --name berlin-1",
        "--out berlin-1.enroll",
        "agent-host enroll berlin-1.enroll",
    ] {
        assert!(talk.contains(words), "{words} is not in\n{talk}");
    }
    let identity = std::fs::read_dir(folder.path().join("identity")).unwrap();
    assert_eq!(identity.count(), 0, "the key is made when the agent enrols");
    assert!(agent_host(folder.path(), &["check", "config"]).status.success());
    assert_eq!(agent_host(folder.path(), &init).status.code(), Some(78));
    let run = agent_host(folder.path(), &["run"]);
    assert_eq!(run.status.code(), Some(78));
    assert!(
        text(&run.stderr).contains("agent-host enroll"),
        "{}",
        text(&run.stderr)
    );
}

#[test]
fn usage_errors_exit_with_2_and_unreadable_configurations_with_78() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        agent_host(folder.path(), &["init", "--tenant", "A", "--name", "b"])
            .status
            .code(),
        Some(2)
    );
    let output = agent_host(folder.path(), &["check", "config"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        text(&output.stderr).contains("agent-host init"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn check_config_shows_the_snippets_of_all_files() {
    let world = World::not_enrolled();
    world.write(
        "checks.d/a.toml",
        "[check.web]\nchecker = \"http\"\nintervall = \"30s\"\n",
    );
    world.write("checks.d/b.toml", "[check.dns\n");
    let output = agent_host(&world.path(""), &["check", "config"]);
    assert_eq!(output.status.code(), Some(78));
    let shown = text(&output.stderr);
    for words in [
        "a.toml:3:1",
        "did you mean `interval`?",
        "b.toml:1:",
        "intervall = \"30s\"",
    ] {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
}

#[test]
fn check_run_shows_a_result_and_nagios_understands_it() {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    world.add_check("missing", "nope", "");
    let run = |arguments: &[&str]| agent_host(&world.path(""), arguments);
    let output = run(&["check", "run", "nothing", "--nagios"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).starts_with("OK: "),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(
        run(&["check", "run", "missing", "--nagios"]).status.code(),
        Some(3)
    );
    let output = run(&["check", "run", "nothin"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("did you mean `nothing`?"),
        "{}",
        text(&output.stderr)
    );
    let listed = run(&["check", "list", "-o", "json"]);
    assert_eq!(listed.status.code(), Some(1), "one of them has a problem");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(run(&["checker", "list"]).status.success());
    let inspected = run(&["checker", "inspect", "checkers/noop.wasm"]);
    assert!(
        text(&inspected.stdout).contains("can't: "),
        "{}",
        text(&inspected.stdout)
    );
    assert_eq!(run(&["checker", "inspect", "agent.toml"]).status.code(), Some(1));
}

#[test]
fn run_writes_its_ready_file_and_ends_in_order_on_sigterm() {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    let mut child = Command::new(env!("CARGO_BIN_EXE_agent-host"))
        .current_dir(world.path(""))
        .args(["run", "--config", "agent.toml", "--ready-file", "ready.json"])
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !world.path("ready.json").exists() {
        assert!(
            Instant::now() < deadline && child.try_wait().unwrap().is_none(),
            "it didn't get ready"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let ready: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.path("ready.json")).unwrap()).unwrap();
    assert_eq!(ready["pid"], child.id());
    assert!(
        ready["addresses"]["grpc"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert!(ready["addresses"]["metrics"].is_string());
    let status = agent_host(&world.path(""), &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["running"], true);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it didn't end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
}

/// What a run used is what is proposed, and with that line alone the check runs.
#[test]
fn check_run_with_learn_proposes_the_least_grants() {
    let world = World::new();
    world.install_checker("tcp");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let check = |allow: &str| {
        let more = format!(
            "allow = {allow}\n[check.port.config]\nhost = \"localhost\"\nport = {port}\nfamily = \"ipv4\""
        );
        world.add_check("port", "tcp", &more);
    };
    check("[\"icmp:10.0.0.1\"]");
    let run = |arguments: &[&str]| agent_host(&world.path(""), arguments);
    let refused = run(&["check", "run", "port", "--nagios"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stdout));
    let learned = run(&["check", "run", "port", "--learn", "-o", "json"]);
    assert_eq!(learned.status.code(), Some(0), "{}", text(&learned.stderr));
    let learned: serde_json::Value = serde_json::from_slice(&learned.stdout).unwrap();
    assert_eq!(learned["result"]["status"], "ok", "{learned:#}");
    assert_eq!(
        learned["allow"],
        serde_json::json!([format!("tcp:localhost:{port}")]),
        "{learned:#}"
    );
    assert_eq!(learned["unused"], serde_json::json!(["icmp:10.0.0.1"]));
    check(&learned["allow"].to_string());
    let granted = run(&["check", "run", "port", "--nagios"]);
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stdout));
    let shown = text(&run(&["check", "run", "port", "--learn"]).stdout);
    assert!(
        shown.contains(&format!("allow = [\"tcp:localhost:{port}\"]")),
        "{shown}"
    );
}
