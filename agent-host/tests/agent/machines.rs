//! Machines that don't give everything: little address space, no memory that is written and then executed.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::world::World;

const AGENT_HOST: &str = env!("CARGO_BIN_EXE_agent-host");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn world() -> World {
    let world = World::new();
    world.install_guest("noop");
    world.add_check("nothing", "noop", "");
    world
}

/// Address space as `ulimit -v` has it, in KiB: too little for the pool, and then for small reservations, too.
const LITTLE: u64 = 6_000_000;
const LESS: u64 = 2_000_000;

fn limited(world: &World, kibibytes: u64, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    let line = format!("ulimit -v {kibibytes}; exec {AGENT_HOST} {arguments}");
    command.current_dir(world.path("")).args(["-c", &line]);
    command
}

#[test]
fn a_check_runs_in_little_address_space() {
    for (kibibytes, allocation) in [(LITTLE, "small reservations"), (LESS, "on demand")] {
        let output = limited(&world(), kibibytes, "check run nothing --nagios")
            .env("RUST_LOG", "info")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(
            text(&output.stdout).starts_with("OK: "),
            "{}",
            text(&output.stdout)
        );
        // The log says what the machine gave.
        let ready = format!("allocation={allocation}");
        assert!(text(&output.stderr).contains(&ready), "{}", text(&output.stderr));
    }
}

fn metrics(address: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Ends what it started, also where the test fails.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More sleeping checks than may run at once: every place is taken, and none of them lacks its memory.
#[test]
fn all_places_can_be_taken_at_once_in_little_address_space() {
    all_places_can_be_taken(LITTLE);
}

#[test]
fn all_places_can_be_taken_at_once_in_less() {
    all_places_can_be_taken(LESS);
}

fn all_places_can_be_taken(kibibytes: u64) {
    let world = World::new();
    world.install_guest("sleep-forever");
    for n in 0..40 {
        world.add_check(&format!("sleeper-{n}"), "sleep-forever", "timeout = \"900ms\"");
    }
    let mut agent = Agent(
        limited(&world, kibibytes, "run --ready-file ready.json")
            .spawn()
            .unwrap(),
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut wait = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(
                Instant::now() < deadline && agent.0.try_wait().unwrap().is_none(),
                "waited too long for {what}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait("the agent", &|| world.path("ready.json").exists());
    let ready: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.path("ready.json")).unwrap()).unwrap();
    let address = ready["addresses"]["metrics"].as_str().unwrap().to_owned();
    // Of one scrape: all runs, and those that ended as they should.
    let runs = || {
        let text = metrics(&address);
        let count = |labels: &str| -> f64 {
            let of = format!("picket_agent_runs_total{{{labels}");
            let lines = text.lines().filter(|line| line.starts_with(&of));
            lines
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum()
        };
        (count(""), count("status=\"unknown\",failure=\"timeout\""))
    };
    wait("80 runs", &|| runs().0 >= 80.0);
    let (all, timed_out) = runs();
    assert_eq!(all, timed_out, "{}", metrics(&address));
}

/// As root it keeps what checks may be granted, and nothing that could change the machine.
#[test]
fn an_agent_gives_up_the_privileges_that_it_does_not_need() {
    let world = world();
    let mut agent = Agent(
        Command::new(AGENT_HOST)
            .current_dir(world.path(""))
            .args(["run", "--ready-file", "ready.json"])
            .spawn()
            .unwrap(),
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.path("ready.json").exists() {
        assert!(
            Instant::now() < deadline && agent.0.try_wait().unwrap().is_none(),
            "it didn't get ready"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // Capabilities are each thread's own.
    let threads = std::fs::read_dir(format!("/proc/{}/task", agent.0.id())).unwrap();
    for thread in threads {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(field("NoNewPrivs:"), 1);
        // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_PTRACE (linux/capability.h).
        let kept: u64 = [1, 2, 10, 13, 19].iter().map(|number| 1 << number).sum();
        for set in ["CapPrm:", "CapEff:", "CapInh:"] {
            assert_eq!(field(set) & !kept, 0, "{set} in\n{status}");
        }
    }
}

/// Starts a program that may not execute memory that it wrote (`PR_SET_MDWE`, Linux 6.3), as SELinux and systemd's
/// `MemoryDenyWriteExecute` have it too.
fn without_new_code(world: &World, arguments: &[&str]) -> Output {
    // prctl's number differs between processors; the flag stays on across exec.
    let program = r#"
        my $prctl = `uname -m` =~ /x86_64/ ? 157 : 167;
        syscall($prctl, 65, 1, 0, 0, 0) == 0 or die "this kernel has no PR_SET_MDWE: $!";
        exec @ARGV or die $!;
    "#;
    Command::new("perl")
        .current_dir(world.path(""))
        .args(["-e", program, AGENT_HOST])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_machine_that_forbids_new_code_is_told_of_pulley() {
    let world = world();
    let output = without_new_code(&world, &["check", "run", "nothing", "--nagios"]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("engine = \"pulley\""),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn pulley_runs_checks_where_new_code_is_forbidden() {
    let world = world();
    world.write(
        "agent.toml",
        "listen = \"127.0.0.1:0\"\n[sandbox]\nengine = \"pulley\"\n",
    );
    let output = without_new_code(&world, &["check", "run", "nothing", "--nagios"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).starts_with("OK: "),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn an_engine_that_is_not_known_is_a_problem_with_its_place() {
    let world = world();
    world.write(
        "agent.toml",
        "listen = \"127.0.0.1:0\"\n[sandbox]\nengine = \"v8\"\ncompile_memory = \"1 MiB\"\n",
    );
    let output = Command::new(AGENT_HOST)
        .current_dir(world.path(""))
        .args(["check", "config"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let words = text(&output.stderr);
    assert!(
        words.contains("agent.toml:3:10") && words.contains("\"pulley\"") && words.contains("512 MiB"),
        "{words}"
    );
}
