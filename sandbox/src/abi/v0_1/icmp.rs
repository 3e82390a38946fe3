//! `icmp`.

use std::time::Duration;

use super::{View, micros};
use crate::bindings::picket::checker::icmp as wit;
use crate::host::icmp::{EchoError, Outcome, Train, echo};
use crate::net::guard::Refusal;

fn train(request: wit::EchoRequest) -> Train {
    Train {
        host: request.host,
        ipv4: request
            .family
            .map(|family| matches!(family, wit::AddressFamily::Ipv4)),
        count: request.count,
        interval: Duration::from_millis(request.interval_ms.into()),
        timeout: Duration::from_millis(request.timeout_ms.into()),
        payload: request.payload_size,
        dont_fragment: request.dont_fragment,
        ttl: request.ttl,
    }
}

fn outcome(outcome: Outcome) -> wit::Outcome {
    match outcome {
        Outcome::Reply(took) => wit::Outcome::Reply(micros(took)),
        Outcome::Timeout => wit::Outcome::Timeout,
        Outcome::Unreachable(words) => wit::Outcome::Unreachable(words),
    }
}

fn error(error: &EchoError) -> wit::Error {
    let kind = match error {
        EchoError::Reach(Refusal::Denied(_)) => wit::ErrorKind::Denied,
        EchoError::Reach(Refusal::Unresolved(_)) | EchoError::NoAddress(_) => wit::ErrorKind::NameResolution,
        EchoError::NotPermitted(_) => wit::ErrorKind::NotPermitted,
        EchoError::Reach(Refusal::Invalid(_)) | EchoError::Invalid(_) | EchoError::Io(_) => {
            wit::ErrorKind::Other
        }
    };
    wit::Error {
        kind,
        message: error.to_string(),
    }
}

impl wit::Host for View<'_> {
    async fn echo(&mut self, request: wit::EchoRequest) -> Result<wit::EchoResult, wit::Error> {
        self.0.guard.count_call();
        let (address, outcomes) = echo(&self.0.guard, train(request))
            .await
            .map_err(|found| error(&found))?;
        Ok(wit::EchoResult {
            address: address.to_string(),
            outcomes: outcomes.into_iter().map(outcome).collect(),
            extra: Vec::new(),
        })
    }
}
