//! What a failed dial or call says about an agent.

use std::error::Error;
use std::io;
use std::time::Duration;

use picket_identity::verify::{Refusal, peer_alert};
use tonic::{Code, Status};

use crate::reachability::{Cause, Failure};

/// The agent said nothing for `deadline`.
pub(crate) fn no_answer(method: &'static str, deadline: Duration) -> Failure {
    Failure::new(
        Cause::Timeout,
        format!("{method}: no answer within {} s", deadline.as_secs()),
    )
}

/// What a failed call says about the agent.
pub(super) fn of_call(method: &'static str, status: &Status) -> Failure {
    if let Some(failure) = of_error(status) {
        return failure;
    }
    let detail = format!("{method}: {:?}: {}", status.code(), status.message());
    let cause = match status.code() {
        Code::DeadlineExceeded => Cause::Timeout,
        Code::Unavailable | Code::Cancelled => Cause::Network,
        _ => Cause::Protocol,
    };
    Failure::new(cause, detail)
}

/// What an error of the transport says, where the reason is somewhere inside.
pub(crate) fn of_error(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(refusal) = Refusal::from_error(error) {
        return Some(of_refusal(&refusal));
    }
    if let Some(alert) = peer_alert(error) {
        return Some(Failure::new(
            Cause::GatewayRefused,
            format!(
                "the agent ended the connection with the TLS alert {alert:?}: it doesn't accept this gateway"
            ),
        ));
    }
    let io = find_io(error)?;
    Some(of_io(io))
}

/// What the identity verifier says.
pub(crate) fn of_refusal(refusal: &Refusal) -> Failure {
    Failure::new(
        Cause::Identity(refusal.reason),
        format!("expected {}, got {}", refusal.expected, refusal.got),
    )
}

/// What the operating system says.
pub(crate) fn of_io(error: &io::Error) -> Failure {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::TimedOut => Cause::Timeout,
        _ => Cause::Network,
    };
    Failure::new(cause, error.to_string())
}

fn find_io<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_told_from_a_slow_and_a_broken_one() {
        for (kind, cause) in [
            (io::ErrorKind::ConnectionRefused, Cause::Refused),
            (io::ErrorKind::TimedOut, Cause::Timeout),
            (io::ErrorKind::ConnectionReset, Cause::Network),
            (io::ErrorKind::HostUnreachable, Cause::Network),
        ] {
            assert_eq!(of_io(&io::Error::from(kind)).cause, cause);
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_a_matter_of_protocol() {
        let status = Status::unimplemented("no such method");
        let failure = of_call("Pull", &status);
        assert_eq!(failure.cause, Cause::Protocol);
        assert!(failure.detail.contains("Pull") && failure.detail.contains("no such method"));
    }

    #[test]
    fn the_reason_is_found_however_deep_it_is() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let failure = of_error(&Outer(io::ErrorKind::ConnectionRefused.into())).unwrap();
        assert_eq!(failure.cause, Cause::Refused);
    }
}
