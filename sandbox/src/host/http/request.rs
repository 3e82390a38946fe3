//! From what a checker asks for to a message.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue as Value};
use http::{Method, Uri};
use http_body_util::Full;
use url::Url;

use super::{HeaderValue, Problem, Request};
use crate::grant::Target;
use crate::host::secret::SecretView;

const MAX_HEADERS: usize = 100;
/// The connection's own business: a checker that set them could make a message that is read differently by two readers.
const RESERVED: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) type Message = http::Request<Full<Bytes>>;

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) host: Target,
    pub(super) port: u16,
    pub(super) tls: bool,
    url: Url,
}

impl Destination {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} isn't a URL: {error}"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(format!("expected a URL of http: or https:, found {other}:")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a URL carries no user or password: use basic-auth, with the password as a secret".to_owned(),
            );
        }
        let host = Target::parse(url.host_str().unwrap_or_default())?;
        let port = url
            .port_or_known_default()
            .filter(|port| *port > 0)
            .ok_or("a URL's port is 1 to 65535")?;
        Ok(Self { host, port, tls, url })
    }

    pub(super) fn is_name(&self) -> bool {
        matches!(self.host, Target::Name(_))
    }

    /// What is sent as SNI and matched against the certificate.
    pub(super) fn server_name(&self) -> String {
        match &self.host {
            Target::Name(name) => name.clone(),
            Target::Address(address) => address.to_string(),
        }
    }

    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// Checks everything and puts secrets in their place.
pub(super) async fn build(
    request: &Request,
    target: &Destination,
    secrets: &SecretView,
) -> Result<Message, Problem> {
    let invalid = |reason: String| Problem::Invalid(reason);
    let method = Method::from_bytes(request.method.as_bytes())
        .ok()
        .filter(|method| *method != Method::CONNECT)
        .ok_or_else(|| invalid(format!("{:?} isn't a method that can be sent", request.method)))?;
    if request.headers.len() > MAX_HEADERS {
        return Err(invalid(format!(
            "{} headers, at most {MAX_HEADERS} are allowed",
            request.headers.len()
        )));
    }
    let uri: Uri = target.url[..url::Position::AfterQuery]
        .parse()
        .map_err(|error| invalid(format!("{} can't be sent: {error}", target.url)))?;
    let mut message = http::Request::new(Full::new(Bytes::from(request.body.clone().unwrap_or_default())));
    *message.method_mut() = method;
    *message.uri_mut() = uri;
    let headers = message.headers_mut();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid(format!("{name:?} isn't a header's name")))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(invalid(format!("the header {name} is the host's own business")));
        }
        headers.append(name, header_value(value, secrets).await?);
    }
    if let Some((username, password)) = &request.basic_auth {
        headers.insert(AUTHORIZATION, basic(username, password, secrets).await?);
    }
    if !headers.contains_key(HOST) {
        let authority = Value::from_str(&target.authority()).map_err(|error| invalid(error.to_string()))?;
        headers.insert(HOST, authority);
    }
    Ok(message)
}

async fn header_value(value: &HeaderValue, secrets: &SecretView) -> Result<Value, Problem> {
    match value {
        HeaderValue::Text(text) => {
            Value::from_str(text).map_err(|_| Problem::Invalid(format!("{text:?} isn't a header's value")))
        }
        HeaderValue::Secret { prefix, secret } => {
            let bytes = secrets.using(secret).await?;
            let value = [prefix.as_bytes(), bytes.expose().trim_ascii_end()].concat();
            sensitive(&value, secret)
        }
    }
}

/// RFC 7617.
async fn basic(username: &str, password: &str, secrets: &SecretView) -> Result<Value, Problem> {
    if username.contains(':') || username.contains(char::is_control) {
        return Err(Problem::Invalid(
            "a user's name has no colon and no control characters".to_owned(),
        ));
    }
    let secret = secrets.using(password).await?;
    let pair = [username.as_bytes(), b":", secret.expose().trim_ascii_end()].concat();
    sensitive(format!("Basic {}", base64(&pair)).as_bytes(), password)
}

/// The words name the secret, never its value.
fn sensitive(value: &[u8], secret: &str) -> Result<Value, Problem> {
    let mut value = Value::from_bytes(value)
        .map_err(|_| Problem::Invalid(format!("the secret {secret} has bytes that no header can carry")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = (at(0) << 16) | (at(1) << 8) | at(2);
        for index in 0..4 {
            let sextet = (group >> (18 - 6 * index)) & 0x3f;
            let padding = index > chunk.len();
            text.push(if padding {
                '='
            } else {
                char::from(ALPHABET[sextet as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_destination_is_what_the_url_means() {
        let found = Destination::parse("https://0x7f000001/x").unwrap();
        assert_eq!(found.host, Target::Address("127.0.0.1".parse().unwrap()));
        assert_eq!((found.port, found.tls), (443, true));
        assert!(
            Destination::parse("ftp://a.example/")
                .unwrap_err()
                .contains("ftp:")
        );
        assert!(
            Destination::parse("http://u:p@a.example/")
                .unwrap_err()
                .contains("basic-auth")
        );
        assert!(Destination::parse("http://a.example:0/").is_err());
        assert!(Destination::parse("nonsense").is_err());
    }
}
