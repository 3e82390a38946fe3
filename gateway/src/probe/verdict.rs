//! At which step a failure shows, and what a person can do about it. One table.

use picket_identity::verify::Reason;

use super::{StepName, Verdict};
use crate::reachability::Cause;
use crate::upkeep;

/// What to make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Where it shows.
    pub step: StepName,
    /// What kind of trouble it is.
    pub verdict: Verdict,
    /// What to do.
    pub fix: &'static str,
}

/// What to make of a failure with this cause.
pub const fn fix_for(cause: Cause) -> Fix {
    match cause {
        Cause::NameResolution => away(
            StepName::Dns,
            "correct the endpoint in the agent's registration, or the name in DNS",
        ),
        Cause::Refused => away(
            StepName::Tcp,
            "start the agent host; see that it listens on the port of its registration",
        ),
        Cause::Timeout => away(
            StepName::Tcp,
            "see that firewalls on the way let this gateway through to the agent's port, and that its machine is up",
        ),
        Cause::Network => away(
            StepName::Tcp,
            "see that there is a route from this gateway to the agent, and that nothing on the way cuts connections",
        ),
        Cause::Identity(reason) => of_identity(reason),
        Cause::GatewayRefused => refused(
            StepName::Answer,
            "the agent's anchors or clock differ from ours: compare `agent-host cert show` with `platform ca show`, and \
             see that its clock is right",
        ),
        Cause::Protocol => problem(
            StepName::Answer,
            "see that an agent host of a version that this gateway knows listens there, with no proxy before it",
        ),
        Cause::ResultsRefused => problem(
            StepName::Answer,
            "the platform's log says what is wrong with the agent's batches",
        ),
        Cause::Upkeep(upkeep::Cause::NotAwaiting) => problem(
            StepName::Chain,
            "run `agent-host enroll` there, with the file that `platform agent add` wrote: a running gateway enrols the agent \
             within seconds",
        ),
        Cause::Upkeep(_) => problem(
            StepName::Answer,
            "the logs of agent, gateway and platform say more, under the same correlation id",
        ),
    }
}

const fn of_identity(reason: Reason) -> Fix {
    match reason {
        Reason::Protocol => refused(
            StepName::Tls,
            "see that an agent host listens there, and that no proxy on the way ends its TLS",
        ),
        Reason::NoCert => refused(StepName::Tls, "enrol the agent: it shows no certificate"),
        Reason::UnknownCa => refused(
            StepName::Chain,
            "something else answers at the endpoint, or the agent was enrolled on another platform: enrol it here",
        ),
        Reason::WrongIssuer => refused(
            StepName::Chain,
            "the certificate wasn't issued by the tenant's CA: find out how it came to be, then enrol the agent anew",
        ),
        Reason::Expired => refused(
            StepName::Chain,
            "have another enrolment file made with `platform agent add --replace`, and run `agent-host enroll` with it; \
             where the certificate should still be good, see that this gateway's clock is right",
        ),
        Reason::NotYetValid => refused(StepName::Chain, "see that this gateway's clock is right"),
        Reason::Revoked => refused(
            StepName::Chain,
            "the certificate isn't active any more: enrol the agent anew, and find out who uses the old one",
        ),
        Reason::BadProfile => refused(
            StepName::Chain,
            "the certificate isn't shaped like one of ours: enrol the agent anew",
        ),
        Reason::WrongAgent => refused(
            StepName::Identity,
            "another agent of the tenant answers there: correct the endpoint in one of the two registrations",
        ),
        Reason::CnMismatch => refused(
            StepName::Identity,
            "the certificate contradicts itself: find out how it came to be, then enrol the agent anew",
        ),
        Reason::WrongTenant => refused(
            StepName::Tenant,
            "another tenant's agent answers there: correct the endpoint in the agent's registration",
        ),
    }
}

const fn away(step: StepName, fix: &'static str) -> Fix {
    Fix {
        step,
        verdict: Verdict::Unavailable,
        fix,
    }
}

const fn refused(step: StepName, fix: &'static str) -> Fix {
    Fix {
        step,
        verdict: Verdict::Refused,
        fix,
    }
}

const fn problem(step: StepName, fix: &'static str) -> Fix {
    Fix {
        step,
        verdict: Verdict::Problems,
        fix,
    }
}
