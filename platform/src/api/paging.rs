//! Parameters of lists, and the lists themselves.

use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::store::views::MAX_PAGE;

/// Items where nothing is asked for.
const DEFAULT: u32 = 100;

/// The query string; an error is JSON, as all are.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error: QueryRejection| invalid(&error))
    }
}

fn invalid(error: &QueryRejection) -> ApiError {
    ApiError::Invalid(error.body_text())
}

/// How many items: at least 1, at most [`MAX_PAGE`].
///
/// # Errors
/// [`ApiError::Invalid`] for what is beyond.
pub fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked.unwrap_or(DEFAULT) {
        limit if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        limit => Err(ApiError::Invalid(format!(
            "limit is {limit}; it has to be from 1 to {MAX_PAGE}"
        ))),
    }
}

/// A list.
#[derive(Debug, Serialize)]
pub struct Items<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `after` (or `before`) for those that follow; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Items<T> {
    /// A list that is whole.
    #[must_use]
    pub const fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page: `items` has one more than `limit` where more follow, and `cursor` names where an item is.
    #[must_use]
    pub fn page(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = if has_more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}
