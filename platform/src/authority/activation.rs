//! What an activation is still good for: a function of the activation, the key that comes with it, and the time.

use super::step::{Cause, Refused};
use crate::clock::UnixMs;
use crate::store::activations::Activation;

/// How long an `.enroll` file may be used.
pub const LIFETIME_MS: i64 = 24 * 3_600_000;

/// What to do for whoever proved to hold the activation key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Consume it, and issue.
    Issue,
    /// The reply was lost: the certificate that was issued already.
    Again {
        /// The authority that issued it.
        issuer_ca: i64,
        /// Its serial.
        serial: String,
    },
    /// Another key came on an activation that was used: somebody has a copy of the file.
    Reuse(Refused),
    /// Nothing.
    Refuse(Refused),
}

/// Decides.
#[must_use]
pub fn decide(activation: &Activation, spki_sha256: &[u8], now: UnixMs) -> Decision {
    let is_other_key = activation
        .spki_sha256
        .as_ref()
        .is_some_and(|used_with| used_with != spki_sha256);
    if is_other_key {
        return Decision::Reuse(Refused::new(
            Cause::ActivationReuse,
            "the enrolment file was used before, with another key: somebody has a copy of it, or the agent lost its key; \
             find out which, then make a new file with `platform agent add --replace`",
        ));
    }
    let has_expired = now >= activation.expires_at;
    match (
        activation.state.as_str(),
        &activation.serial,
        activation.issuer_ca,
    ) {
        ("waiting" | "used", ..) if has_expired => Decision::Refuse(Refused::new(
            Cause::ActivationExpired,
            "the enrolment file's 24 hours are over; make a new one with `platform agent add --replace`",
        )),
        ("waiting", ..) => Decision::Issue,
        ("used", Some(serial), Some(issuer_ca)) => Decision::Again {
            issuer_ca,
            serial: serial.clone(),
        },
        ("done", ..) => Decision::Refuse(Refused::new(
            Cause::NotAwaiting,
            "the agent was enrolled with this file, and its certificate is in use; start it with `agent-host run`, or make \
             a new file with `platform agent add --replace`",
        )),
        _ => Decision::Refuse(Refused::new(
            Cause::ActivationUnknown,
            "the enrolment file counts no more: a newer one was made, or the agent was revoked; use the newest one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activation(state: &str, used_with: Option<&[u8]>) -> Activation {
        Activation {
            id: "a".into(),
            tenant: "acme".into(),
            agent: "berlin-1".into(),
            public_key: vec![0; 32],
            state: state.into(),
            created_at: 0,
            expires_at: LIFETIME_MS,
            spki_sha256: used_with.map(<[u8]>::to_vec),
            issuer_ca: used_with.map(|_| 4),
            serial: used_with.map(|_| "0a".into()),
        }
    }

    fn cause(decision: Decision) -> &'static str {
        match decision {
            Decision::Issue => "issue",
            Decision::Again { .. } => "again",
            Decision::Reuse(refused) | Decision::Refuse(refused) => refused.cause.as_str(),
        }
    }

    #[test]
    fn a_waiting_one_is_good_for_24_hours() {
        let waiting = activation("waiting", None);
        assert_eq!(cause(decide(&waiting, b"k", LIFETIME_MS - 1)), "issue");
        assert_eq!(cause(decide(&waiting, b"k", LIFETIME_MS)), "activation_expired");
    }

    #[test]
    fn the_same_key_gets_the_same_certificate_until_the_file_expires() {
        let used = activation("used", Some(b"k"));
        assert_eq!(cause(decide(&used, b"k", 5)), "again");
        assert_eq!(cause(decide(&used, b"k", LIFETIME_MS)), "activation_expired");
    }

    #[test]
    fn another_key_is_reuse_whatever_became_of_the_activation() {
        for state in ["used", "done", "closed"] {
            let used = activation(state, Some(b"k"));
            assert_eq!(cause(decide(&used, b"other", 5)), "activation_reuse", "{state}");
            assert_eq!(
                cause(decide(&used, b"other", 2 * LIFETIME_MS)),
                "activation_reuse",
                "{state}"
            );
        }
    }

    #[test]
    fn what_was_used_up_or_replaced_gives_nothing() {
        assert_eq!(
            cause(decide(&activation("done", Some(b"k")), b"k", 5)),
            "not_awaiting"
        );
        assert_eq!(
            cause(decide(&activation("closed", None), b"k", 5)),
            "activation_unknown"
        );
        assert_eq!(
            cause(decide(&activation("closed", Some(b"k")), b"k", 5)),
            "activation_unknown"
        );
    }
}
