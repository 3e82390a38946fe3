//! From hop to hop (RFC 9110 §15.4).

use picket_checker_sdk::http::Response;

use crate::url::Url;

/// One request of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) method: String,
    /// Whether the configured body is sent.
    pub(crate) keeps_body: bool,
    /// Whether the chain has never left the origin that the operator named: once away, a way back carries no secrets
    /// either, for it was somebody else who sent us.
    pub(crate) is_home: bool,
}

impl Hop {
    pub(crate) fn first(url: Url, method: String) -> Self {
        Self {
            url,
            method,
            keeps_body: true,
            is_home: true,
        }
    }
}

/// Where a response sends us; `None` where it doesn't.
pub(crate) fn next(hop: &Hop, response: &Response) -> Option<Result<Hop, String>> {
    let rewrites = match response.status {
        303 => hop.method != "HEAD",
        // What every browser does, though the specification only allows it.
        301 | 302 => hop.method == "POST",
        307 | 308 => false,
        _ => return None,
    };
    let location = response.header("location")?;
    let joined = hop.url.join(&location);
    Some(
        joined
            .map_err(|error| format!("the redirect's location is wrong: {error}"))
            .map(|url| Hop {
                is_home: hop.is_home && url.same_origin(&hop.url),
                method: if rewrites {
                    "GET".to_owned()
                } else {
                    hop.method.clone()
                },
                keeps_body: hop.keeps_body && !rewrites,
                url,
            }),
    )
}
