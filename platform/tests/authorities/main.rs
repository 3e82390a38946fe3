//! Authorities and tenants over their whole life, against a real database and real keys. Time is passed in.
//!
//! - [`rotation`]: an authority takes another's place, and nobody is cut off.
//! - [`root`]: the root's own rotation, and a root that is offline.
//! - [`tenants`]: suspended, resumed, deleted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod bench;
mod root;
mod rotation;
#[path = "../support/site.rs"]
mod site;
mod tenants;
