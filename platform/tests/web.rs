//! The pages and the API over a seeded database, without a network.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in what its tests share too"
)]

#[path = "web/access.rs"]
mod access;
#[path = "web/api.rs"]
mod api;
#[path = "web/live.rs"]
mod live;
#[path = "web/pages.rs"]
mod pages;
#[path = "web/seed.rs"]
mod seed;
#[path = "web/site.rs"]
mod site;
