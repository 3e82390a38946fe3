//! What runs: the honest checks, and every hostile guest with what may come of it.

use std::net::SocketAddr;
use std::path::Path;

use picket_proto::agent::v1::FailureClass::{
    self, BadOutput, Cpu, Crash, Failed, Memory, NoChecker, Timeout, Unspecified as Harmless,
};
use picket_tests::installation::{Agent, edit};
use picket_tests::servers::Nginx;

/// How many honest checks there are.
pub(crate) const HONEST: usize = 50;

/// What a hostile guest may come to, besides running out of time; `Unspecified` is a report in which nothing that it tried
/// worked.
pub(crate) type Expected = (&'static str, &'static [FailureClass]);

/// Limits small enough that a guest which uses them up leaves most of a second to others.
const LIMITS: &str = "[limits]\nconcurrent_runs = 32\nmemory = \"16 MiB\"\ncpu = \"50ms\"\n";

/// Every guest of `tests/guests/` and `tests/forged/` but the honest one.
const HOSTILE: &[Expected] = &[
    ("bad-discriminant", &[Crash]),
    ("bad-needs", &[BadOutput]),
    ("block-on-poll", &[Timeout]),
    ("deep-recursion", &[Crash]),
    ("denied-connect", &[Harmless]),
    ("denied-udp", &[Harmless]),
    ("exit", &[Crash]),
    ("exports-other", &[NoChecker]),
    ("exports-other-types", &[NoChecker]),
    ("follow-redirects", &[Harmless]),
    ("honest", &[Harmless]),
    ("host-call-storm", &[Cpu]),
    ("http-hoard", &[Harmless]),
    ("huge-string", &[Memory]),
    // Well behaved until it shows itself.
    ("hundredth-run", &[Harmless, Cpu]),
    ("imports-later-function", &[NoChecker]),
    ("imports-shell", &[NoChecker]),
    ("invalid-utf8", &[Crash]),
    ("later-version", &[Harmless]),
    ("leave-folder", &[Failed]),
    ("lingering", &[Harmless]),
    ("list-beyond-memory", &[Crash]),
    ("listen", &[Harmless]),
    ("log-flood", &[Harmless, Cpu]),
    ("many-memories", &[NoChecker]),
    ("memory-bomb", &[Memory, Cpu]),
    ("million-metrics", &[BadOutput, Memory, Cpu]),
    ("move-bytes", &[Failed]),
    ("multi-memory", &[Harmless]),
    ("nan-metrics", &[BadOutput]),
    ("next-line", &[NoChecker]),
    ("panic", &[Crash]),
    ("post-return-spin", &[Cpu]),
    ("random-flood", &[Crash, Cpu]),
    ("read-env", &[Harmless]),
    ("read-files", &[Failed]),
    ("read-one-file", &[Failed]),
    ("realloc-beyond-memory", &[Crash]),
    ("realloc-spin", &[Cpu]),
    ("rebinding", &[Harmless]),
    ("resource-hoard", &[Crash, Cpu, Harmless]),
    ("secret-thief", &[Harmless]),
    ("secret-user", &[Harmless, Cpu]),
    ("shared-strings", &[BadOutput]),
    ("sleep-forever", &[Timeout]),
    ("socket-hoard", &[Harmless, Crash, Cpu]),
    ("spin", &[Cpu]),
    ("spin-in-describe", &[NoChecker]),
    ("start-spin", &[NoChecker]),
    ("state-flood", &[Harmless, Cpu]),
    ("state-then-trap", &[Crash]),
    ("stdout-flood", &[Harmless, Cpu]),
    ("table-bomb", &[Harmless]),
    ("trap", &[Crash]),
    ("versioned", &[Harmless]),
    ("wasi-http", &[Crash, Harmless]),
    ("wrong-version", &[NoChecker]),
];

/// Puts all checkers and checks into the agent's folders, and tells which of the checks are hostile.
pub(crate) fn install(agent: &Agent, nginx: &Nginx) -> anyhow::Result<Vec<Expected>> {
    edit(&agent.config(), |text| {
        let end = text.find("[limits]").unwrap_or(text.len());
        format!("{}{LIMITS}", &text[..end])
    })?;
    agent.install_guest("noop")?;
    for checker in ["cpu", "memory", "disk", "tcp", "http"] {
        agent.install_checker(checker)?;
    }
    agent.write_checks("honest", &honest(nginx.plain))?;
    let guests = guests()?;
    for name in &guests {
        agent.install_guest(name)?;
    }
    for name in picket_forged::guests() {
        if let Some(component) = picket_forged::guest(name) {
            agent.install_component(name, &component)?;
        }
    }
    // A guest that is forgotten here would soak nothing.
    for name in guests
        .into_iter()
        .chain(picket_forged::guests().map(str::to_owned))
    {
        assert!(HOSTILE.iter().any(|(own, _)| *own == name), "{name} isn't soaked");
    }
    agent.write_checks("hostile", &hostile(nginx.plain))?;
    Ok(HOSTILE.to_vec())
}

fn guests() -> anyhow::Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "kit" && name != "noop" {
            names.push(name);
        }
    }
    Ok(names)
}

/// One check that runs each second.
fn check(name: &str, checker: &str, timeout: &str, allow: &[String], config: &str) -> String {
    format!(
        "[check.{name}]\nchecker = \"{checker}\"\ninterval = \"1s\"\njitter = \"0s\"\ntimeout = \"{timeout}\"\n\
         allow = {allow:?}\n[check.{name}.config]\n{config}\n"
    )
}

fn honest(web: SocketAddr) -> String {
    let (host, port) = (web.ip(), web.port());
    let kinds = [
        ("noop", 20, String::new(), String::new()),
        ("cpu", 5, "host-facts:cpu".to_owned(), String::new()),
        ("memory", 5, "host-facts:memory".to_owned(), String::new()),
        ("disk", 5, "host-facts:disk".to_owned(), String::new()),
        (
            "tcp",
            8,
            format!("tcp:{web}"),
            format!("host = \"{host}\"\nport = {port}"),
        ),
        (
            "http",
            7,
            format!("http:{web}"),
            format!("url = \"http://{web}/\"\nbody_regex = \"from nginx\""),
        ),
    ];
    let mut text = String::new();
    let mut count = 0;
    for (kind, times, grant, config) in kinds {
        let allow: Vec<String> = Some(grant)
            .filter(|grant| !grant.is_empty())
            .into_iter()
            .collect();
        for number in 0..times {
            text += &check(&format!("honest-{kind}-{number}"), kind, "10s", &allow, &config);
            count += 1;
        }
    }
    assert_eq!(count, HONEST);
    text
}

/// Under the widest wildcards there are, and with a port on which somebody would answer.
fn hostile(web: SocketAddr) -> String {
    let allow = ["tcp:*:*", "udp:*:*", "http:*:*", "secret:used"].map(str::to_owned);
    let config = format!("port = {}", web.port());
    HOSTILE
        .iter()
        .map(|(name, _)| check(name, name, "500ms", &allow, &config))
        .collect()
}
