//! What all pages share: the frame around them, and answering with the whole page or only with its live part.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::{HeaderValue, VARY};

use super::WebState;
use super::error::PageError;
use super::session::SignedIn;
use crate::clock::UnixMs;
use crate::store::views::alerts;

/// Rows of one page.
pub const PER_PAGE: usize = 50;

/// The frame around a page.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The window's title.
    pub title: String,
    /// The entry of the menu that is marked.
    pub section: &'static str,
    /// Where the live updates come from; empty: the page has none.
    pub live: String,
    /// What forms send back.
    pub csrf: String,
    /// Alerts that are open, for the menu.
    pub open_alerts: i64,
    /// The database's time when the page was made.
    pub now: UnixMs,
}

impl Frame {
    /// Reads what the frame shows.
    ///
    /// # Errors
    /// [`PageError::Store`].
    pub async fn new(
        state: &WebState,
        signed_in: &SignedIn,
        section: &'static str,
        title: impl Into<String>,
    ) -> Result<Self, PageError> {
        Ok(Self {
            title: title.into(),
            section,
            live: "/live".to_owned(),
            csrf: signed_in.csrf().to_owned(),
            open_alerts: alerts::count_open(state.store(), None).await?,
            now: state.store().now().await?,
        })
    }
}

/// Whether only the live part is asked for: by our script after a hint, or by htmx after a filter changed.
#[must_use]
pub fn is_partial(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request") && !headers.contains_key("hx-history-restore-request")
}

/// The whole page, or its live part. Both are made by the same template.
///
/// # Errors
/// [`PageError::Render`].
pub fn respond(
    headers: &HeaderMap,
    whole: &impl Template,
    live: &impl Template,
) -> Result<Response, PageError> {
    let html = if is_partial(headers) {
        live.render()?
    } else {
        whole.render()?
    };
    let mut response = Html(html).into_response();
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("hx-request"));
    Ok(response)
}

/// A query string out of the pairs that have a value, with its `?`; empty where none has.
#[must_use]
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        text.append_pair(name, value);
    }
    let text = text.finish();
    if text.is_empty() { text } else { format!("?{text}") }
}

/// One segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    // Names are `[a-z0-9-]`; escaped all the same, so that what is in the database never becomes a path.
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// The path of an agent's page.
#[must_use]
pub fn agent_path(tenant: &str, agent: &str) -> String {
    format!("/agents/{}/{}", segment(tenant), segment(agent))
}

/// The path of a check's page.
#[must_use]
pub fn check_path(tenant: &str, agent: &str, check: &str) -> String {
    format!("{}/checks/{}", agent_path(tenant, agent), segment(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_only_what_has_a_value() {
        assert_eq!(query(&[("tenant", ""), ("q", "a b&c")]), "?q=a+b%26c");
        assert_eq!(query(&[("tenant", "")]), "");
    }

    #[test]
    fn a_name_never_leaves_its_segment() {
        assert_eq!(
            check_path("a/b", "..", "x?y z"),
            "/agents/a%2Fb/../checks/x%3Fy%20z"
        );
    }
}
