//! Checks for an agent, as a customer writes them.

use std::net::SocketAddr;

/// What there is to be checked.
#[derive(Clone, Copy)]
pub(crate) struct Targets {
    /// Speaks HTTP.
    pub(crate) web: SocketAddr,
    /// Knows `www.acme.test`.
    pub(crate) names: SocketAddr,
}

/// One check; `base` says what the checker, whatever its file is called, is told to do.
pub(crate) fn check(name: &str, checker: &str, base: &str, interval: &str, targets: Targets) -> String {
    let Targets { web, names } = targets;
    let (allow, config) = match base {
        "tcp" => (
            format!("tcp:{web}"),
            format!("host = \"{}\"\nport = {}", web.ip(), web.port()),
        ),
        "http" => (format!("http:{web}"), format!("url = \"http://{web}/\"")),
        "dns" => (
            format!("udp:{names}"),
            format!(
                "name = \"www.acme.test\"\nservers = [\"{names}\"]\ntransport = \"udp\"\nauthoritative = true"
            ),
        ),
        "noop" => (String::new(), String::new()),
        facts => (format!("host-facts:{facts}"), String::new()),
    };
    let allow = if allow.is_empty() {
        String::new()
    } else {
        format!("\"{allow}\"")
    };
    format!(
        "[check.{name}]\nchecker = \"{checker}\"\ninterval = \"{interval}\"\nallow = [{allow}]\n\
         [check.{name}.config]\n{config}\n\n"
    )
}
