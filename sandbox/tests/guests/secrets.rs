//! A canary: a secret that a checker may use, but not see, is in nothing that comes out of its run.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use picket_sandbox::host::secret::{Secret, SecretError, SecretSource};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::support::{reported, run_guest, spec};

const CANARY: &str = "canary-7Qx2-secret";
/// `user:` and the canary in base64, as basic authentication sends them.
const CANARY_BASIC: &str = "dXNlcjpjYW5hcnktN1F4Mi1zZWNyZXQ=";

struct Canaries {
    key: String,
}

#[async_trait::async_trait]
impl SecretSource for Canaries {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(match name {
            "used" => Some(Secret::new(CANARY.into())),
            "key" => Some(Secret::new(self.key.clone().into_bytes())),
            _ => None,
        })
    }
}

/// Everything that is traced, at every level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0.lock().unwrap(), "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Answers each request with nothing, and keeps what it was sent.
fn serve(stream: &mut (impl Read + Write), seen: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 16 << 10];
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => head.extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
    seen.lock().unwrap().extend(head);
    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
}

fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            serve(stream);
        }
    });
    port
}

fn tls_config(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from(certified.cert.der().to_vec());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

#[tokio::test]
async fn secret_user_never_learns_or_leaks_a_secret() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (seen, seen_inside) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let plain = Arc::clone(&seen);
    let plain = listen(move |mut stream| serve(&mut stream, &plain));
    let (config, inside) = (tls_config(&certified), Arc::clone(&seen_inside));
    let tls = listen(move |mut stream| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        serve(&mut rustls::Stream::new(&mut session, &mut stream), &inside);
    });

    let key = certified.signing_key.serialize_pem();
    let config = format!("{plain} {tls}\n{}", certified.cert.pem());
    let mut spec = spec(&config, &["http:127.0.0.1:*", "secret:used", "secret:key"]);
    spec.secrets = Arc::new(Canaries { key: key.clone() });
    let traced = Everything::default();
    let tracing = tracing::subscriber::set_default(traced.clone());
    let outcome = run_guest("secret-user", spec).await;
    drop(tracing);

    // They were used, or the test would show nothing.
    let seen = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    assert!(seen.contains(&format!("Bearer {CANARY}")), "{seen}");
    assert!(seen.contains(CANARY_BASIC), "{seen}");
    let inside = String::from_utf8_lossy(&seen_inside.lock().unwrap()).into_owned();
    assert!(
        inside.contains("GET /"),
        "the client's key opened the session: {:?}",
        reported(&outcome).details
    );

    let traced = traced.0.lock().unwrap().clone();
    let everything = format!("{outcome:?} {traced}");
    assert!(
        everything.contains("secret-reveal:used"),
        "the refusal to reveal is told"
    );
    let key_lines = key.lines().filter(|line| !line.starts_with("-----"));
    let bytes = format!("{:?}", CANARY.as_bytes());
    for secret in [CANARY, CANARY_BASIC, bytes.trim_matches(['[', ']'])]
        .into_iter()
        .chain(key_lines)
    {
        assert!(!everything.contains(secret), "{secret} is in {everything}");
    }
}
