//! `tls`.

use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::{View, micros};
use crate::bindings::picket::checker::tls as wit;
use crate::host::secret::Refusal;
use crate::host::tls::{ClientIdentity, UpgradeError, UpgradeOptions, upgrade};
use crate::net::certificate::Certificate;
use crate::net::tls::{Session, TlsError, Trust};

pub(super) fn trust(trust: wit::Trust) -> Trust {
    match trust {
        wit::Trust::Platform => Trust::Platform,
        wit::Trust::Roots(roots) => Trust::Roots(roots),
    }
}

pub(super) fn client_identity(identity: wit::ClientIdentity) -> ClientIdentity {
    ClientIdentity {
        chain: identity.certificate_chain,
        key_secret: identity.key_secret,
    }
}

pub(super) fn certificate(certificate: Certificate) -> wit::Certificate {
    wit::Certificate {
        der: certificate.der,
        subject: certificate.subject,
        issuer: certificate.issuer,
        serial: certificate.serial,
        not_before_unix_s: certificate.not_before_unix_s,
        not_after_unix_s: certificate.not_after_unix_s,
        names: certificate.names,
        sha256: certificate.sha256,
        extra: Vec::new(),
    }
}

fn session(session: Session) -> wit::Session {
    wit::Session {
        version: session.version,
        cipher_suite: session.cipher_suite,
        alpn: session.alpn,
        peer_certificates: session.peer_certificates.into_iter().map(certificate).collect(),
        trusted: session.trusted,
        handshake_us: micros(session.handshake),
        extra: Vec::new(),
    }
}

fn error(error: &UpgradeError) -> wit::Error {
    let kind = match error {
        UpgradeError::Secret(Refusal::Denied(_)) => wit::ErrorKind::Denied,
        UpgradeError::Secret(Refusal::Missing(_)) | UpgradeError::Handles(_) => wit::ErrorKind::Other,
        UpgradeError::Timeout(_) => wit::ErrorKind::Timeout,
        UpgradeError::Tls(TlsError::InvalidOptions(_)) => wit::ErrorKind::InvalidOptions,
        UpgradeError::Tls(TlsError::Untrusted { .. }) => wit::ErrorKind::Untrusted,
        UpgradeError::Tls(TlsError::Handshake(_)) => wit::ErrorKind::Handshake,
    };
    wit::Error {
        kind,
        message: error.to_string(),
    }
}

impl wit::Host for View<'_> {
    async fn upgrade(
        &mut self,
        input: Resource<DynInputStream>,
        output: Resource<DynOutputStream>,
        options: wit::Options,
    ) -> Result<wit::Connection, wit::Error> {
        let run = &mut *self.0;
        run.guard.count_call();
        let options = UpgradeOptions {
            server_name: options.server_name,
            trust: trust(options.trust),
            require_trusted: options.require_trusted,
            alpn: options.alpn,
            identity: options.identity.map(client_identity),
            timeout: Duration::from_millis(options.timeout_ms.into()),
        };
        let streams = (input, output);
        let upgraded = upgrade(
            &mut run.table,
            &run.services,
            &run.secrets,
            run.deadline,
            streams,
            options,
        )
        .await;
        let connection = upgraded.map_err(|found| error(&found))?;
        Ok(wit::Connection {
            session: session(connection.session),
            input: connection.input,
            output: connection.output,
        })
    }
}
