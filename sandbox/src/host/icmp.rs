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
