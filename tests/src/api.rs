//! The platform's REST API and pages over HTTPS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client that trusts one platform's root and holds a bearer token.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: String,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Api")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// A client of the platform at `address` whose certificates end in `root` (a PEM file).
    pub fn new(address: SocketAddr, root: &Path, token: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(root).with_context(|| format!("{}", root.display()))?
        {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            tls: Arc::new(tls),
            token: token.to_owned(),
        })
    }

    /// The same platform with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Where the pages are.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fetches JSON; anything but a 2xx answer is an error that shows it.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.request(Method::GET, path, &[], Bytes::new()).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("GET {path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("GET {path}: {}", String::from_utf8_lossy(&body)))
    }

    /// The `items` of a list.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut answer = self.get(path).await?;
        match answer["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("GET {path} has no list of items: {answer}"),
        }
    }

    /// The status code alone.
    pub async fn status(&self, path: &str) -> anyhow::Result<StatusCode> {
        Ok(self.request(Method::GET, path, &[], Bytes::new()).await?.status())
    }

    /// One request over a connection of its own.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let tcp = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("can't reach {}", self.address))?;
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the response's body, or when the request is dropped.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string());
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(sender.send_request(request.body(Full::new(body))?).await?)
    }
}
