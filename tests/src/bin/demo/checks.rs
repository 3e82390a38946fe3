//! The checks of the demo's two agents, and what becomes of each.

use std::net::SocketAddr;

use anyhow::Context as _;

/// The checkers that both agents have.
pub(crate) const CHECKERS: [&str; 6] = ["http", "tcp", "dns", "cpu", "memory", "disk"];

/// What is there to be checked on this machine.
pub(crate) struct Targets {
    /// The platform's pages and API.
    pub(crate) pages: SocketAddr,
    /// What the pages' certificate ends in, PEM.
    pub(crate) root: String,
    /// The platform's port for gateways.
    pub(crate) gateways: SocketAddr,
    /// A name server.
    pub(crate) names: SocketAddr,
}

/// What a check should come to.
pub(crate) struct Expected {
    pub(crate) check: &'static str,
    pub(crate) status: &'static str,
    /// The class of failure; empty where the checker itself gave the verdict.
    pub(crate) failure: &'static str,
}

const fn verdict(check: &'static str, status: &'static str) -> Expected {
    Expected {
        check,
        status,
        failure: "",
    }
}

const EXPECTED: [Expected; 10] = [
    verdict("pages", "ok"),
    verdict("port", "ok"),
    verdict("names", "ok"),
    verdict("cpu", "ok"),
    verdict("memory", "ok"),
    verdict("disk", "ok"),
    // Fails on purpose.
    verdict("nobody-home", "critical"),
    // Counts for ever; the sandbox stops it.
    Expected {
        check: "hostile",
        status: "unknown",
        failure: "cpu",
    },
    // May not reach where it wants to go.
    Expected {
        check: "overreach",
        status: "unknown",
        failure: "denied",
    },
    verdict("unknown-name", "ok"),
];

/// The checks of a tenant's agent. Both have the same, but that only acme has the last three.
pub(crate) fn expected(tenant: &str) -> &'static [Expected] {
    if tenant == "acme" {
        &EXPECTED
    } else {
        &EXPECTED[..7]
    }
}

/// The file `checks.d/demo.toml` of a tenant's agent.
pub(crate) fn of(tenant: &str, targets: &Targets) -> anyhow::Result<String> {
    let root = targets.root.trim();
    let (pages, gateways, names) = (targets.pages, targets.gateways, targets.names);
    let address = match tenant {
        "acme" => "192.0.2.10",
        _ => "192.0.2.20",
    };
    // Nobody listens on a port that was free a moment ago.
    let closed = picket_tests::installation::free_port().context("no free port")?;
    let mut text = format!(
        r#"# The platform's own pages, over TLS. Their certificate lives for a week and is renewed in time.
[check.pages]
checker = "http"
interval = "5s"
timeout = "4s"
allow = ["http:{pages}"]
[check.pages.config]
url = "https://{pages}/healthz"
certificate_days = {{ warning = "3:", critical = "1:" }}
ca = """
{root}
"""

# The port that gateways dial.
[check.port]
checker = "tcp"
interval = "5s"
timeout = "4s"
allow = ["tcp:{gateways}"]
[check.port.config]
host = "{gateways_host}"
port = {gateways_port}

# A name server's answer.
[check.names]
checker = "dns"
interval = "5s"
timeout = "4s"
allow = ["udp:{names}"]
[check.names.config]
name = "www.{tenant}.test"
servers = ["{names}"]
transport = "udp"
answers = ["{address}"]
match = "exact"
authoritative = true

# This machine itself.
[check.cpu]
checker = "cpu"
interval = "5s"
allow = ["host-facts:cpu"]

[check.memory]
checker = "memory"
interval = "5s"
allow = ["host-facts:memory"]

[check.disk]
checker = "disk"
interval = "10s"
allow = ["host-facts:disk"]

# Fails on purpose: nobody listens there.
[check.nobody-home]
checker = "tcp"
interval = "5s"
timeout = "4s"
allow = ["tcp:127.0.0.1:{closed}"]
[check.nobody-home.config]
host = "127.0.0.1"
port = {closed}
"#,
        gateways_host = gateways.ip(),
        gateways_port = gateways.port(),
    );
    if tenant == "acme" {
        text.push_str(&format!(
            r#"
# Hostile: counts for ever, and is stopped.
[check.hostile]
checker = "spin"
interval = "10s"
timeout = "5s"

# Wants more than it was granted.
[check.overreach]
checker = "http"
interval = "10s"
timeout = "4s"
[check.overreach.config]
url = "http://169.254.169.254/latest/meta-data/"

# A name that doesn't exist.
[check.unknown-name]
checker = "dns"
interval = "5s"
timeout = "4s"
allow = ["udp:{names}"]
[check.unknown-name.config]
name = "nobody.acme.test"
servers = ["{names}"]
transport = "udp"
rcode = "NXDOMAIN"
"#
        ));
    }
    Ok(text)
}
