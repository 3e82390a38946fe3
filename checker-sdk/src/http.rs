//! One HTTP request over a connection of its own. Redirects are not followed: a checker follows them, and the host
//! checks each hop against the grants.

use std::time::Duration;

use serde_json::{Value, json};

pub use crate::bindings::picket::checker::http::{
    AddressFamily, BasicAuth, Error, ErrorKind, HeaderValue, Phases, Request, Response, SecretValue,
    TlsOptions, TlsSession,
};

use crate::Report;
use crate::tls::Trust;

/// As much of a body as most checks look at.
const DEFAULT_BODY_BYTES: u32 = 1024 * 1024;

impl Request {
    /// A request with the platform's roots, a trusted peer required, and up to 1 MiB of body.
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>, timeout: Duration) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            basic_auth: None,
            body: None,
            family: None,
            tls: TlsOptions {
                trust: Trust::Platform,
                require_trusted: true,
                server_name: None,
                identity: None,
            },
            timeout_ms: crate::net::milliseconds(timeout),
            max_body_bytes: DEFAULT_BODY_BYTES,
            extra: Vec::new(),
        }
    }

    /// A `GET` request.
    #[must_use]
    pub fn get(url: impl Into<String>, timeout: Duration) -> Self {
        Self::new("GET", url, timeout)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), HeaderValue::Text(value.into())));
        self
    }

    /// Adds a header whose value is `prefix` and a granted secret that the checker never sees.
    #[must_use]
    pub fn secret_header(mut self, name: &str, prefix: &str, secret: &str) -> Self {
        let value = SecretValue {
            prefix: prefix.to_owned(),
            secret: secret.to_owned(),
        };
        self.headers.push((name.to_owned(), HeaderValue::Secret(value)));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl Response {
    /// The first header of a name (in lower case), as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.header_values(name).next()
    }

    /// Every header of a name (in lower case), as text.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let named = self.headers.iter().filter(move |(header, _)| header == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Phases {
    /// As evidence.
    #[must_use]
    pub fn evidence(&self) -> Value {
        json!({
            "name_resolution_us": self.name_resolution_us,
            "connect_us": self.connect_us,
            "tls_us": self.tls_us,
            "first_byte_us": self.first_byte_us,
            "body_us": self.body_us,
            "total_us": self.total_us,
        })
    }
}

impl Error {
    /// What the error means for a run: a refusal is the operator's business, anything else the target's.
    ///
    /// # Errors
    ///
    /// The host refused, or the request makes no sense.
    pub fn into_report(self) -> Result<Report, crate::Error> {
        match self.kind {
            ErrorKind::Denied => Err(crate::Error::denied(self.message)),
            ErrorKind::InvalidRequest => Err(crate::Error::invalid_config(self.message)),
            ErrorKind::NameResolution
            | ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Tls
            | ErrorKind::Untrusted
            | ErrorKind::Protocol
            | ErrorKind::Other => Ok(Report::critical(self.message)),
        }
    }
}
