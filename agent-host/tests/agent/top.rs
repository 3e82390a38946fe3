//! `agent-host top` and `check run --on-agent`: the command line beside a running agent.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::command_line::{agent_host, text};
use crate::world::{World, results};

fn with_noop() -> World {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    world.add_check("missing", "nope", "");
    world
}

/// Runs the program while the agent of this process goes on.
async fn beside(world: &World, arguments: &[&str]) -> Output {
    let folder = world.path("");
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        agent_host(&folder, &arguments)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn top_shows_every_check_with_what_it_costs() {
    let world = with_noop();
    let running = world.start().await;
    results(&running, 4).await;
    let output = beside(&world, &["top", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let top: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(top["spiffe_id"], world.agent_id().to_string());
    assert_eq!(top["concurrent_runs"], 32);
    let checks = top["checks"].as_array().unwrap();
    let names: Vec<_> = checks
        .iter()
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["missing", "nothing"]);
    let nothing = &checks[1];
    assert_eq!(
        (&nothing["status"], &nothing["health"]),
        (&"ok".into(), &"healthy".into())
    );
    for number in ["runs", "cpu_last_us", "cpu_total_us", "memory_limit_bytes"] {
        assert!(nothing[number].as_u64() > Some(0), "{number} of {nothing}");
    }
    assert!(nothing["core_percent"].as_f64() > Some(0.0), "{nothing}");
    assert!(
        nothing["next_in_ms"]
            .as_u64()
            .is_some_and(|millis| millis <= 1_000),
        "{nothing}"
    );
    assert!(checks[0]["problem"].as_str().unwrap().contains("nope.wasm"));

    // Not a terminal: one table, and the end.
    let output = beside(&world, &["top", "--sort", "name"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].contains("2 checks"), "{table}");
    assert!(
        lines[2].starts_with("CHECK ") && lines[4].starts_with("nothing "),
        "{table}"
    );
    running.stop().await;
}

#[test]
fn without_an_agent_top_says_what_to_start() {
    let world = with_noop();
    for arguments in [&["top"][..], &["check", "run", "nothing", "--on-agent"]] {
        let output = agent_host(&world.path(""), arguments);
        assert_eq!(output.status.code(), Some(69));
        assert!(
            text(&output.stderr).contains("start it with `agent-host run`"),
            "{}",
            text(&output.stderr)
        );
    }
    // What an agent that was killed leaves behind is nobody.
    std::fs::create_dir(world.path("data")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(world.path("data/control.sock")).unwrap());
    let output = agent_host(&world.path(""), &["top"]);
    assert_eq!(output.status.code(), Some(69));
}

#[tokio::test]
async fn a_dead_agents_socket_is_replaced_and_a_stopped_ones_is_gone() {
    let world = with_noop();
    std::fs::create_dir(world.path("data")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(world.path("data/control.sock")).unwrap());
    let running = world.start().await;
    assert_eq!(beside(&world, &["top"]).await.status.code(), Some(0));
    running.stop().await;
    assert!(!world.path("data/control.sock").exists());
}

#[tokio::test]
async fn an_agent_whose_data_folder_is_too_deep_for_a_socket_runs_and_top_says_why_it_cant() {
    let world = with_noop();
    let deep = "d".repeat(120);
    world.write(
        "agent.toml",
        &format!("listen = \"127.0.0.1:0\"\ndata_dir = \"{deep}\"\n"),
    );
    let running = world.start().await;
    results(&running, 1).await;
    let output = beside(&world, &["top"]).await;
    assert_eq!(output.status.code(), Some(78));
    assert!(
        text(&output.stderr).contains("give `data_dir` a shorter path"),
        "{}",
        text(&output.stderr)
    );
    running.stop().await;
}

#[tokio::test]
async fn a_check_runs_on_the_agent_and_its_result_is_in_the_spool() {
    let world = with_noop();
    let text_of_check = "[check.rare]\nchecker = \"noop\"\ninterval = \"7days\"\n";
    world.write("checks.d/rare.toml", text_of_check);
    let running = world.start().await;
    let output = beside(&world, &["check", "run", "rare", "--on-agent", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["check"], &result["status"]),
        (&"rare".into(), &"ok".into())
    );
    let batches = world
        .gateway(&running)
        .await
        .poll(crate::world::start("", 0, false))
        .await;
    let mut spooled = batches.iter().flat_map(|batch| batch.results.iter());
    assert!(
        spooled
            .any(|spooled| spooled.check == "rare"
                && result["started_at_unix_ms"] == spooled.started_at_unix_ms)
    );
    let nagios = beside(&world, &["check", "run", "rare", "--on-agent", "--nagios"]).await;
    assert!(
        text(&nagios.stdout).starts_with("OK: "),
        "{}",
        text(&nagios.stdout)
    );
    let unknown = beside(&world, &["check", "run", "other", "--on-agent"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("there is no check `other`"),
        "{}",
        text(&unknown.stderr)
    );
    running.stop().await;
}

async fn raw(world: &World, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let path = world.path("data/control.sock");
    let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
    // A server that has heard enough hangs up while more is written.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    text(&answer)
}

#[tokio::test]
async fn the_control_socket_answers_two_requests_and_nothing_else() {
    let world = with_noop();
    let running = world.start().await;
    for (request, status) in [
        ("GET /v1/top HTTP/1.1\r\nhost: x\r\n\r\n", "200"),
        ("POST /v1/top HTTP/1.1\r\nhost: x\r\n\r\n", "405"),
        ("GET /v1/check/nothing/run HTTP/1.1\r\nhost: x\r\n\r\n", "405"),
        ("POST /v1/check/No%20name/run HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        ("POST /v1/check/other/run HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
        ("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
        (
            "POST /v1/check/nothing/run HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
            "413",
        ),
    ] {
        let answer = raw(&world, request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{answer}"
        );
        assert!(answer.contains("application/json"), "{answer}");
    }
    let endless = format!("GET /v1/top HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = raw(&world, &endless).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.stop().await;
}

/// The program on a terminal of its own, made by `script` (bsdutils, which every Debian has).
fn on_a_terminal(folder: &Path) -> std::process::Child {
    let program = format!("{} top", env!("CARGO_BIN_EXE_agent-host"));
    Command::new("script")
        .current_dir(folder)
        .args(["--quiet", "--return", "--command", &program, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` is there: apt-get install bsdutils")
}

#[tokio::test]
async fn on_a_terminal_the_table_stays_until_q_is_pressed() {
    let world = with_noop();
    let running = world.start().await;
    results(&running, 1).await;
    let mut child = on_a_terminal(&world.path(""));
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (sender, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            let _ = sender.send(text(&bytes[..count]));
        }
    });
    let watch = move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut shown = String::new();
        let mut wait_for = |words: &str, count: usize| {
            while shown.matches(words).count() < count {
                let left = deadline.saturating_duration_since(Instant::now());
                shown += &seen
                    .recv_timeout(left)
                    .unwrap_or_else(|_| panic!("no {words:?} in {shown:?}"));
            }
        };
        // Drawn, and drawn again from the top.
        wait_for("\x1b[H", 2);
        wait_for("nothing", 2);
        keys.write_all(b"q").unwrap();
        // The screen that was there before comes back.
        wait_for("\x1b[?1049l", 1);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{shown}");
    };
    tokio::task::spawn_blocking(watch).await.unwrap();
    running.stop().await;
}
