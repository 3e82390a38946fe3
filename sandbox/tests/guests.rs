//! One test per hostile guest of the workspace's `tests/guests/` and `tests/forged/`: each is contained, and its run says
//! why.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

#[path = "guests/support.rs"]
mod support;

#[path = "guests/bytes.rs"]
mod bytes;
#[path = "guests/computing.rs"]
mod computing;
#[path = "guests/dishonest.rs"]
mod dishonest;
#[path = "guests/files.rs"]
mod files;
#[path = "guests/http.rs"]
mod http;
#[path = "guests/network.rs"]
mod network;
#[path = "guests/saying.rs"]
mod saying;
#[path = "guests/secrets.rs"]
mod secrets;
#[path = "guests/taking.rs"]
mod taking;
#[path = "guests/wasi_http.rs"]
mod wasi_http;

use std::collections::BTreeSet;

/// Every test is named after its guest, so that the sources say which guests have one.
#[test]
fn every_guest_has_a_test() {
    let sources = [
        include_str!("guests/bytes.rs"),
        include_str!("guests/computing.rs"),
        include_str!("guests/dishonest.rs"),
        include_str!("guests/files.rs"),
        include_str!("guests/http.rs"),
        include_str!("guests/network.rs"),
        include_str!("guests/saying.rs"),
        include_str!("guests/secrets.rs"),
        include_str!("guests/taking.rs"),
        include_str!("guests/wasi_http.rs"),
        include_str!("lines.rs"),
        include_str!("loading.rs"),
    ];
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests");
    let folders = std::fs::read_dir(guests)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let without: BTreeSet<String> = folders
        .filter(|name| name != "kit")
        .chain(picket_forged::guests().map(str::to_owned))
        .filter(|name| {
            !sources
                .iter()
                .any(|source| source.contains(&format!("(\"{name}\"")))
        })
        .collect();
    assert!(without.is_empty(), "guests without a test: {without:?}");
}
