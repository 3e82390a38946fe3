//! `picket:checker/icmp`: a train of echo requests through the kernel's unprivileged ping socket, or through a raw one
//! where this process has `CAP_NET_RAW`.

mod packet;
mod socket;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::grant::Target;
use crate::net::guard::{Guard, Refusal};
use socket::PingSocket;

const COUNT: std::ops::RangeInclusive<u32> = 1..=100;
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const PAYLOAD: std::ops::RangeInclusive<u32> = 8..=65_000;

pub(crate) struct Train {
    pub(crate) host: String,
    /// `Some(true)` for IPv4.
    pub(crate) ipv4: Option<bool>,
    pub(crate) count: u32,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) payload: u32,
    pub(crate) dont_fragment: bool,
    pub(crate) ttl: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Reply(Duration),
    Timeout,
    Unreachable(String),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EchoError {
    #[error("{0}")]
    Reach(#[from] Refusal),
    #[error("{0} has no address of the wanted family")]
    NoAddress(String),
    #[error("{0}")]
    NotPermitted(String),
    #[error("{0}")]
    Invalid(String),
    #[error("ICMP failed: {0}")]
    Io(#[from] io::Error),
}

pub(crate) async fn echo(guard: &Guard, train: Train) -> Result<(IpAddr, Vec<Outcome>), EchoError> {
    check(&train)?;
    let target = Target::parse(&train.host).map_err(EchoError::Invalid)?;
    let addresses = guard.reach_icmp(&target).await?;
    let address = addresses
        .into_iter()
        .find(|address| train.ipv4.is_none_or(|ipv4| address.is_ipv4() == ipv4))
        .ok_or_else(|| EchoError::NoAddress(train.host.clone()))?;
    let socket = PingSocket::open(address, &train)?;
    let mut outcomes = Vec::new();
    for sequence in 0..u16::try_from(train.count).unwrap_or(u16::MAX) {
        let began = Instant::now();
        let outcome = one(&socket, sequence, &train).await?;
        let received = if matches!(outcome, Outcome::Reply(_)) {
            train.payload
        } else {
            0
        };
        guard
            .count_bytes(received as usize, train.payload as usize)
            .map_err(io::Error::other)?;
        outcomes.push(outcome);
        let last = sequence as usize + 1 == train.count as usize;
        if !last {
            tokio::time::sleep(train.interval.saturating_sub(began.elapsed())).await;
        }
    }
    Ok((address, outcomes))
}

fn check(train: &Train) -> Result<(), EchoError> {
    let invalid = |what: &str| Err(EchoError::Invalid(what.to_owned()));
    if !COUNT.contains(&train.count) {
        return invalid("a train is 1 to 100 requests");
    }
    if train.interval < MIN_INTERVAL {
        return invalid("the interval is at least 10 ms");
    }
    if !PAYLOAD.contains(&train.payload) {
        return invalid("the payload is 8 to 65,000 bytes");
    }
    Ok(())
}

async fn one(socket: &PingSocket, sequence: u16, train: &Train) -> Result<Outcome, EchoError> {
    let began = Instant::now();
    let wait = async {
        socket.send(sequence).await?;
        socket.receive(sequence).await
    };
    match tokio::time::timeout(train.timeout, wait).await {
        Err(_) => Ok(Outcome::Timeout),
        Ok(Ok(())) => Ok(Outcome::Reply(began.elapsed())),
        Ok(Err(error)) => unreachable_in_words(error).map(Outcome::Unreachable),
    }
}

/// The kernel turns ICMP errors about a connected socket into error numbers (icmp(7)).
fn unreachable_in_words(error: io::Error) -> Result<String, EchoError> {
    match error.kind() {
        io::ErrorKind::HostUnreachable => Ok("host unreachable".to_owned()),
        io::ErrorKind::NetworkUnreachable => Ok("network unreachable".to_owned()),
        io::ErrorKind::ConnectionRefused => Ok("refused".to_owned()),
        io::ErrorKind::PermissionDenied => Ok("forbidden by a firewall of this machine".to_owned()),
        _ if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
            Ok("the packet is too big for the path".to_owned())
        }
        _ => Err(EchoError::Io(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::grant::GrantSet;
    use crate::net::resolve::SystemResolver;

    fn train(host: &str) -> Train {
        Train {
            host: host.to_owned(),
            ipv4: None,
            count: 2,
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(2),
            payload: 56,
            dont_fragment: true,
            ttl: Some(64),
        }
    }

    fn guard(lines: &[&str]) -> Guard {
        Guard::new(
            Arc::new(GrantSet::parse(lines).unwrap()),
            Arc::new(SystemResolver::default()),
        )
    }

    #[tokio::test]
    async fn loopback_answers_or_the_sentence_says_what_is_missing() {
        match echo(&guard(&["icmp:127.0.0.1"]), train("127.0.0.1")).await {
            Ok((address, outcomes)) => {
                assert!(address.is_loopback());
                assert!(
                    outcomes
                        .iter()
                        .all(|outcome| matches!(outcome, Outcome::Reply(_))),
                    "{outcomes:?}"
                );
            }
            Err(EchoError::NotPermitted(sentence)) => {
                assert!(sentence.contains("ping_group_range"), "{sentence}");
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Runs one of the ignored tests below where the machine is as it needs it: in a network of its own, with a range of
    /// groups that may ping, and with or without the capability to open raw sockets.
    fn in_a_network_with(ping_group_range: &str, raw: bool, test: &str) {
        let script = format!(
            "ip link set lo up && echo '{ping_group_range}' > /proc/sys/net/ipv4/ping_group_range && exec \"$@\""
        );
        let mut command = std::process::Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--", "sh", "-c", &script, "sh"]);
        if !raw {
            command.args(["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--"]);
        }
        let output = command
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("host::icmp::tests::{test}"),
                "--ignored",
                "--nocapture",
            ])
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn a_ping_socket_is_used_where_the_group_is_in_the_range() {
        in_a_network_with("0 0", false, "both_families_answer");
    }

    #[test]
    fn a_raw_socket_is_used_where_only_the_capability_is_there() {
        in_a_network_with("1 0", true, "both_families_answer");
    }

    #[test]
    fn without_either_the_sentence_has_the_line_to_write() {
        in_a_network_with("1 0", false, "neither_is_permitted");
    }

    #[tokio::test]
    #[ignore = "runs in a network of its own, started by the tests above"]
    async fn both_families_answer() {
        for address in ["127.0.0.1", "::1"] {
            let guard = guard(&["icmp:localhost"]);
            let (_, outcomes) = echo(&guard, train(address)).await.unwrap();
            let replies = outcomes
                .iter()
                .filter(|outcome| matches!(outcome, Outcome::Reply(_)))
                .count();
            assert_eq!(replies, 2, "{address}: {outcomes:?}");
            assert_eq!(guard.counted(), (0, 112, 112));
        }
    }

    #[tokio::test]
    #[ignore = "runs in a network of its own, started by the tests above"]
    async fn neither_is_permitted() {
        for address in ["127.0.0.1", "::1"] {
            let Err(EchoError::NotPermitted(sentence)) =
                echo(&guard(&["icmp:localhost"]), train(address)).await
            else {
                panic!("{address}: expected a refusal");
            };
            assert!(
                sentence.contains("`net.ipv4.ping_group_range = 0 2147483647`") && sentence.contains("(1 0)"),
                "{sentence}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_granted_is_not_pinged() {
        let error = echo(&guard(&["icmp:*"]), train("127.0.0.1"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("icmp:127.0.0.1"), "{error}");
    }

    #[tokio::test]
    async fn numbers_beyond_the_contract_are_refused() {
        for change in [
            (|t| t.count = 0) as fn(&mut Train),
            |t| t.count = 101,
            |t| t.interval = Duration::from_millis(9),
            |t| t.payload = 7,
            |t| t.payload = 65_001,
        ] {
            let mut train = train("127.0.0.1");
            change(&mut train);
            assert!(matches!(
                echo(&guard(&["icmp:127.0.0.1"]), train).await,
                Err(EchoError::Invalid(_))
            ));
        }
    }
}
