//! The certificate of an agent that has none yet. It names nobody and is worth nothing: TLS wants one, that is all.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};

/// A key and a certificate that it signed itself.
pub(super) struct Throwaway {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Throwaway {
    pub(super) fn new(now: UnixTime) -> Result<Self, rcgen::Error> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "awaiting enrolment");
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let now = epoch + Duration::from_secs(now.as_secs());
        parameters.not_before = now - DAY;
        parameters.not_after = now + 30 * DAY;
        let certificate = parameters.self_signed(&key)?.der().clone();
        Ok(Self {
            certificate,
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }
}
