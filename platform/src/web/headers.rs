//! Headers that every response carries.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{self, HeaderName, HeaderValue};

use super::WebState;

/// Scripts and styles only from our own files, nothing inline, nothing evaluated, no other host, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Two years, what browsers' preload lists ask for.
const HSTS: &str = "max-age=63072000";

/// Adds the headers, and forbids caching where the handler didn't allow it.
pub async fn harden(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let pins_https = state.options().https && !is_localhost(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 7] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if pins_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether the browser calls us `localhost`: pinned to HTTPS, that name would be lost to every other program on the
/// visitor's machine.
fn is_localhost(headers: &http::HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_not_pinned_to_https() {
        let with = |host: &str| is_localhost(&[(header::HOST, host.parse().unwrap())].into_iter().collect());
        assert!(with("localhost:8443") && with("localhost") && with("a.localhost:1"));
        assert!(
            !with("picket.example:8443") && !with("notlocalhost") && !is_localhost(&http::HeaderMap::new())
        );
    }
}
