//! What a page answers when it can't.

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{StatusCode, Uri};

use crate::store::StoreError;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There is no such thing.
    #[error("there is no {0} here")]
    NotFound(&'static str),
    /// Nobody is signed in; after signing in, this is where they wanted to go.
    #[error("sign in first")]
    SignIn(String),
    /// Nobody is signed in, and what asks isn't a browser's window.
    #[error("sign in first")]
    Unauthenticated,
    /// The form lacks this session's CSRF token, or comes from elsewhere.
    #[error("this form is not of your session; load the page again")]
    Forbidden,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template.
    #[error(transparent)]
    Render(#[from] askama::Error),
    /// The server serves as many event streams as it can.
    #[error("too many event streams are open; try again later")]
    TooManyStreams,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    sentence: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title) = match &self {
            Self::SignIn(next) => {
                let query = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("next", next)
                    .finish();
                return Redirect::to(&format!("/sign-in?{query}")).into_response();
            }
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "Sign in first"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Refused"),
            Self::TooManyStreams => (StatusCode::SERVICE_UNAVAILABLE, "Busy"),
            Self::Store(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "Busy"),
            Self::Store(_) | Self::Render(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Something broke"),
        };
        let sentence = match &self {
            Self::Store(error) if error.is_transient() => {
                "The database is busy; load the page again.".to_owned()
            }
            Self::Store(_) | Self::Render(_) => {
                tracing::error!(error = %self, "a page could not be made");
                "The platform's log says what.".to_owned()
            }
            other => sentence_case(&other.to_string()),
        };
        match (ErrorPage { title, sentence }).render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => status.into_response(),
        }
    }
}

fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), chars.as_str())
    })
}

/// For a path that is nothing's.
pub async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return crate::api::error::ApiError::NotFound("endpoint").into_response();
    }
    PageError::NotFound("page").into_response()
}

/// For a path that is something's, but not with this method.
pub async fn method_not_allowed(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return crate::api::error::ApiError::Method.into_response();
    }
    StatusCode::METHOD_NOT_ALLOWED.into_response()
}
