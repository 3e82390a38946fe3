//! After all hostile guests: the engine runs honest ones, no file or socket is left open, memory is back.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

#[path = "guests/support.rs"]
#[expect(dead_code, reason = "shared with the tests of guests")]
mod support;

use std::time::Duration;

use picket_sandbox::component::Checker;
use picket_sandbox::run::run;

use support::{engine, guest, reported, spec};

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_mib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

fn all_guests() -> Vec<Checker> {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests");
    let names = std::fs::read_dir(guests)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name != "kit" && name != "wrong-version")
        .map(|name| guest(&name))
        .collect()
}

async fn round(guests: &[Checker]) {
    for checker in guests {
        let mut spec = spec("1", &["tcp:*:*", "udp:*:*", "http:*:*"]);
        spec.limits.cpu = Duration::from_millis(100);
        spec.limits.wall = Duration::from_millis(500);
        // What comes of each is the other tests' business.
        let _ = run(checker, spec).await;
    }
}

#[tokio::test]
async fn everything_is_as_it_was() {
    let guests = all_guests();
    round(&guests).await;
    let (files, memory) = (open_files(), resident_mib());
    for _ in 0..3 {
        round(&guests).await;
    }
    assert_eq!(engine().active_runs(), 0);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // Look-ups and connections that were under way end on threads of their own.
    while open_files() > files && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        open_files() <= files,
        "{} files are open, {files} were",
        open_files()
    );
    assert!(
        resident_mib() <= memory + 16,
        "{} MiB are resident, {memory} MiB were",
        resident_mib()
    );
    let outcome = run(&guest("noop"), spec("{}", &[])).await;
    assert_eq!(reported(&outcome).summary, "nothing was done");
}
