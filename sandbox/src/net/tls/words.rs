//! Why a certificate isn't trusted, in words for people. What a library calls it stays out of reports.

use rustls::CertificateError;

/// The reason as a clause: what was found, and what was expected where that is known.
pub(super) fn of(error: &CertificateError) -> String {
    use CertificateError as E;
    let fixed = match error {
        E::BadEncoding => "a certificate of the chain can't be read",
        E::Expired => "a certificate of the chain has expired",
        E::NotValidYet => "a certificate of the chain isn't valid yet",
        E::Revoked => "a certificate of the chain was revoked",
        E::UnhandledCriticalExtension => {
            "a certificate of the chain has a critical extension that isn't known here"
        }
        E::UnknownIssuer => "no trusted root has issued its chain",
        E::BadSignature => "a signature in the chain is wrong",
        E::NotValidForName => "the certificate doesn't carry the name",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "the certificate isn't for servers",
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the chain is signed by an algorithm that isn't accepted here"
        }
        E::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            return format!("a certificate of the chain expired {days} days ago");
        }
        E::NotValidYetContext { time, not_before } => {
            let minutes = not_before.as_secs().saturating_sub(time.as_secs()) / 60;
            return format!("a certificate of the chain becomes valid in {minutes} minutes");
        }
        E::NotValidForNameContext { expected, presented } => {
            let carried = if presented.is_empty() {
                "none".to_owned()
            } else {
                presented.join(", ")
            };
            return format!(
                "the certificate doesn't carry the name {}, but {carried}",
                expected.to_str()
            );
        }
        other => return other.to_string(),
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn an_unknown_issuer_is_told_without_the_librarys_word() {
        assert_eq!(
            of(&CertificateError::UnknownIssuer),
            "no trusted root has issued its chain"
        );
    }

    #[test]
    fn an_expired_certificate_says_since_when() {
        let expired = CertificateError::ExpiredContext {
            time: at(10 * 86_400),
            not_after: at(7 * 86_400),
        };
        assert_eq!(of(&expired), "a certificate of the chain expired 3 days ago");
    }

    #[test]
    fn a_wrong_name_says_both_names() {
        let error = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("www.acme.test").unwrap(),
            presented: vec!["www.globex.test".to_owned()],
        };
        let text = of(&error);
        assert!(
            text.contains("www.acme.test") && text.contains("www.globex.test"),
            "{text}"
        );
    }

    #[test]
    fn an_algorithm_is_not_told_in_bytes() {
        let error = CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![6, 8, 42],
            public_key_algorithm_id: vec![6, 7, 42],
        };
        assert!(!of(&error).contains("42"), "{}", of(&error));
    }
}
