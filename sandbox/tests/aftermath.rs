//! After all hostile guests: the engine runs honest ones, no file, socket or thread is left, memory is back.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

#[path = "guests/support.rs"]
#[expect(dead_code, reason = "shared with the tests of guests")]
mod support;

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use picket_sandbox::component::Checker;
use picket_sandbox::run::run;

use support::{engine, guest_path, reported, run_guest, spec};

const ROUNDS: usize = 3;

/// What this process holds, as the kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    files: usize,
    sockets: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let files: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            // One that was closed since the folder was read is nothing that is held.
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .collect();
        let is_socket = |path: &&std::path::PathBuf| path.to_string_lossy().starts_with("socket:");
        Self {
            files: files.len(),
            sockets: files.iter().filter(is_socket).count(),
            threads: std::fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }

    fn is_within(self, other: Self) -> bool {
        self.files <= other.files && self.sockets <= other.sockets && self.threads <= other.threads
    }
}

fn resident_mib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

/// Every guest that loads. Those that don't are tried to load in each round.
fn all_guests() -> (Vec<Checker>, Vec<Vec<u8>>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests");
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names
        .filter(|name| name != "kit")
        .map(|name| std::fs::read(guest_path(&name)).unwrap());
    let forged = picket_forged::guests().map(|name| picket_forged::guest(name).unwrap());
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for bytes in files.chain(forged) {
        match Checker::load(engine(), &bytes, None) {
            Ok(checker) => good.push(checker),
            Err(_) => bad.push(bytes),
        }
    }
    assert!(
        good.len() > 40 && bad.len() > 5,
        "{} and {}",
        good.len(),
        bad.len()
    );
    (good, bad)
}

async fn round(guests: &(Vec<Checker>, Vec<Vec<u8>>), config: &str) {
    let (good, bad) = guests;
    for checker in good {
        // What comes of each is the other tests' business.
        let mut spec = spec(
            config,
            &[
                "tcp:*:*",
                "udp:*:*",
                "http:*:*",
                "tcp:127.0.0.1:*",
                "http:127.0.0.1:*",
            ],
        );
        spec.limits.cpu = Duration::from_millis(20);
        spec.limits.wall = Duration::from_millis(200);
        let _ = run(checker, spec).await;
    }
    for bytes in bad {
        assert!(Checker::load(engine(), bytes, None).is_err());
    }
}

#[tokio::test]
async fn everything_is_as_it_was() {
    let guests = all_guests();
    // Somebody who would answer, so that connections are made and not only refused.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _datagrams = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let configs = [
        port.to_string(),
        "{}".to_owned(),
        format!("1 {port}"),
        "3".to_owned(),
    ];
    // What is made once, pools and buffers, is made now.
    for config in &configs {
        round(&guests, config).await;
    }
    let (held, memory) = (Held::now(), resident_mib());
    for number in 0..ROUNDS {
        round(&guests, &configs[number % configs.len()]).await;
    }
    assert_eq!(engine().active_runs(), 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    // Look-ups and connections that were under way end on threads of their own.
    while !Held::now().is_within(held) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(Held::now().is_within(held), "{:?}, {held:?} before", Held::now());
    assert!(
        resident_mib() <= memory + 16,
        "{} MiB are resident, {memory} MiB were",
        resident_mib()
    );
    let outcome = run_guest("noop", spec("{}", &[])).await;
    assert_eq!(reported(&outcome).summary, "nothing was done");
}
