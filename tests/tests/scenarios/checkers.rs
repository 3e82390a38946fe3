//! The first-party checkers on an agent, against real servers.

use std::net::Ipv4Addr;

use picket_tests::installation::{Agent, AgentOptions, Gateway, Installation, Platform};
use picket_tests::servers::{Dnsmasq, Mail, Nginx};
use picket_tests::wait;
use serde_json::Value;

struct Stage {
    agent: Agent,
    _gateway: Gateway,
    platform: Platform,
    installation: Installation,
}

impl Stage {
    /// An agent with one checker and these checks.
    async fn with(checker: &str, checks: impl Fn(&Installation) -> String) -> anyhow::Result<Self> {
        let installation = Installation::new()?;
        let platform = installation.start_platform("node-1")?;
        let gateway = installation.start_gateway("gw-1", platform.process.address("grpc")?)?;
        installation.add_tenant("acme")?;
        let mut agent = installation.add_agent("acme", "edge", AgentOptions::default())?;
        agent.install_checker(checker)?;
        agent.write_checks("checks", &checks(&installation))?;
        agent.start()?;
        Ok(Self {
            agent,
            _gateway: gateway,
            platform,
            installation,
        })
    }

    /// Waits for the first result of a check and sees that it has this status.
    async fn expect(&self, check: &str, status: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/tenants/acme/agents/edge/checks/{check}");
        let result = wait::until(&format!("a result of {check}"), || async {
            Ok(self.platform.api.get(&path).await.ok())
        })
        .await?;
        assert_eq!(
            result["status"],
            status,
            "{check}: {result:#}\n{}",
            self.agent.log()
        );
        Ok(result)
    }
}

/// A check in TOML.
fn check(name: &str, checker: &str, allow: &[String], config: &str) -> String {
    format!(
        "[check.{name}]\nchecker = \"{checker}\"\ninterval = \"2s\"\njitter = \"0s\"\ntimeout = \"5s\"\nallow = {allow:?}\n\
         [check.{name}.config]\n{config}\n"
    )
}

#[tokio::test]
async fn http_judges_nginx() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let nginx = Nginx::start(folder.path()).await?;
    let (plain, tls, root) = (nginx.plain, nginx.tls, nginx.root.clone());
    let may = vec![format!("http:{plain}")];
    let may_tls = vec![format!("http:{tls}")];
    let stage = Stage::with("http", |_| {
        [
            check("body", "http", &may, &format!("url = \"http://{plain}/\"\nbody_regex = \"from nginx\"")),
            check("wrong-body", "http", &may, &format!("url = \"http://{plain}/\"\nbody_regex = \"from apache\"")),
            check("missing", "http", &may, &format!("url = \"http://{plain}/missing\"")),
            check("expected-404", "http", &may, &format!("url = \"http://{plain}/missing\"\nstatus = [404]")),
            check(
                "json",
                "http",
                &may,
                &format!("url = \"http://{plain}/status.json\"\n[check.json.config.json]\n\"parts[0].name\" = \"db\""),
            ),
            check("moved", "http", &may, &format!("url = \"http://{plain}/moved\"\nredirects = \"follow\"")),
            check("away", "http", &may, &format!("url = \"http://{plain}/away\"\nredirects = \"follow\"")),
            check(
                "tls",
                "http",
                &may_tls,
                &format!("url = \"https://{tls}/\"\ncertificate_days = {{ warning = \"14:\" }}\nca = \"\"\"\n{root}\"\"\""),
            ),
            check("untrusted", "http", &may_tls, &format!("url = \"https://{tls}/\"")),
            check("denied", "http", &[], &format!("url = \"http://{plain}/\"")),
        ]
        .concat()
    })
    .await?;
    let body = stage.expect("body", "ok").await?;
    assert!(
        !body["evidence"].as_array().is_none_or(Vec::is_empty),
        "no evidence: {body:#}"
    );
    stage.expect("wrong-body", "critical").await?;
    stage.expect("missing", "critical").await?;
    stage.expect("expected-404", "ok").await?;
    stage.expect("json", "ok").await?;
    stage.expect("moved", "ok").await?;
    let away = stage.expect("away", "unknown").await?;
    assert_eq!(
        away["failure"], "denied",
        "a redirect is checked against the grants: {away:#}"
    );
    assert!(away.to_string().contains("http:127.0.0.1:1"), "{away:#}");
    let tls = stage.expect("tls", "ok").await?;
    assert!(
        tls.to_string().contains("certificates"),
        "no chain in the evidence: {tls:#}"
    );
    stage.expect("untrusted", "critical").await?;
    let denied = stage.expect("denied", "unknown").await?;
    assert_eq!(denied["failure"], "denied");
    assert!(
        denied.to_string().contains(&format!("http:{plain}")),
        "the line to add: {denied:#}"
    );
    Ok(())
}

#[tokio::test]
async fn tcp_judges_nginx() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let nginx = Nginx::start(folder.path()).await?;
    let (plain, tls, root) = (nginx.plain, nginx.tls, nginx.root.clone());
    let closed = picket_tests::installation::free_port()?;
    let mail = Mail::start(tls).await?;
    let smtp = mail.address;
    let at =
        |address: std::net::SocketAddr| format!("host = \"{}\"\nport = {}\n", address.ip(), address.port());
    let stage = Stage::with("tcp", |_| {
        [
            check("open", "tcp", &[format!("tcp:{plain}")], &at(plain)),
            check(
                "answer",
                "tcp",
                &[format!("tcp:{plain}")],
                &format!(
                    "{}send = 'GET / HTTP/1.0\\r\\n\\r\\n'\nexpect = \"200 OK\"",
                    at(plain)
                ),
            ),
            check(
                "closed",
                "tcp",
                &[format!("tcp:127.0.0.1:{closed}")],
                &format!("host = \"127.0.0.1\"\nport = {closed}"),
            ),
            check(
                "tls",
                "tcp",
                &[format!("tcp:{tls}")],
                &format!(
                    "{}[check.tls.config.tls]\nenabled = true\nca = \"\"\"\n{root}\"\"\"",
                    at(tls)
                ),
            ),
            check(
                "untrusted",
                "tcp",
                &[format!("tcp:{tls}")],
                &format!("{}[check.untrusted.config.tls]\nenabled = true", at(tls)),
            ),
            check(
                "starttls",
                "tcp",
                &[format!("tcp:{smtp}")],
                &format!(
                    "{}[check.starttls.config.tls]\nstarttls = \"smtp\"\nca = \"\"\"\n{root}\"\"\"",
                    at(smtp)
                ),
            ),
        ]
        .concat()
    })
    .await?;
    stage.expect("open", "ok").await?;
    stage.expect("answer", "ok").await?;
    stage.expect("closed", "critical").await?;
    stage.expect("tls", "ok").await?;
    stage.expect("untrusted", "critical").await?;
    let starttls = stage.expect("starttls", "ok").await?;
    assert!(
        starttls["summary"].to_string().contains("with TLS"),
        "{starttls:#}"
    );
    Ok(())
}

#[tokio::test]
async fn dns_judges_dnsmasq() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Dnsmasq::start(&[("www.acme.test", Ipv4Addr::new(192, 0, 2, 10))], folder.path()).await?;
    let at = server.address();
    let both = [format!("udp:{at}"), format!("tcp:{at}")];
    let asks = |name: &str, more: &str| format!("name = \"{name}\"\nservers = [\"{at}\"]\n{more}");
    let stage = Stage::with("dns", |_| {
        [
            check(
                "right",
                "dns",
                &both,
                &asks("www.acme.test", "answers = [\"192.0.2.10\"]\nmatch = \"exact\""),
            ),
            check(
                "wrong",
                "dns",
                &both,
                &asks("www.acme.test", "answers = [\"192.0.2.11\"]"),
            ),
            check(
                "by-tcp",
                "dns",
                &both[1..],
                &asks("www.acme.test", "transport = \"tcp\"\nanswers = [\"192.0.2.10\"]"),
            ),
            check(
                "unknown",
                "dns",
                &both,
                &asks("nobody.test", "rcode = \"NXDOMAIN\""),
            ),
            check("not-there", "dns", &both, &asks("nobody.test", "")),
        ]
        .concat()
    })
    .await?;
    stage.expect("right", "ok").await?;
    stage.expect("wrong", "critical").await?;
    stage.expect("by-tcp", "ok").await?;
    stage.expect("unknown", "ok").await?;
    stage.expect("not-there", "critical").await?;
    Ok(())
}

/// The machine's own figures are the machine's own.
#[tokio::test]
async fn memory_reads_this_machine() -> anyhow::Result<()> {
    let stage = Stage::with("memory", |_| {
        check("memory", "memory", &["host-facts:memory".to_owned()], "")
    })
    .await?;
    let result = stage.expect("memory", "ok").await?;
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let total = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    let reported = result["evidence"][0]["body"]["total"].as_f64();
    assert_eq!(reported, total.map(|kibibytes| kibibytes * 1024.0), "{result:#}");
    drop(stage.installation);
    Ok(())
}

#[tokio::test]
async fn cpu_reads_this_machine() -> anyhow::Result<()> {
    let stage = Stage::with("cpu", |_| check("cpu", "cpu", &["host-facts:cpu".to_owned()], "")).await?;
    let result = stage.expect("cpu", "ok").await?;
    let usage = result["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|metric| metric["name"].to_string().contains("usage"));
    let usage = usage.and_then(|metric| metric["value"].as_f64());
    assert!(
        usage.is_some_and(|usage| (0.0..=100.0).contains(&usage)),
        "{result:#}"
    );
    Ok(())
}

#[tokio::test]
async fn disk_reads_this_machine() -> anyhow::Result<()> {
    let stage = Stage::with("disk", |_| {
        check("disk", "disk", &["host-facts:disk".to_owned()], "")
    })
    .await?;
    let result = stage.expect("disk", "ok").await?;
    assert!(
        result["metrics"].to_string().contains("\"/\""),
        "the root file system isn't there: {result:#}"
    );
    Ok(())
}
