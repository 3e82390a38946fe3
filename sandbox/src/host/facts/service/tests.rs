//! Against a private bus with a systemd of the test's own.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the methods of an interface take what comes off the wire"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use zbus::fdo;
use zbus::interface;
use zbus::zvariant::ObjectPath;

use super::*;
use crate::grant::GrantSet;
use crate::net::resolve::SystemResolver;

fn guard(lines: &[&str]) -> Guard {
    Guard::new(
        Arc::new(GrantSet::parse(lines).unwrap()),
        Arc::new(SystemResolver::default()),
    )
}

/// A bus daemon in a folder of its own, which ends with the test.
struct Bus {
    daemon: Child,
    folder: tempfile::TempDir,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Bus {
    fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>"#,
            folder.path().join("bus").display()
        );
        std::fs::write(&config, text).unwrap();
        let daemon = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg("--config-file")
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .expect("dbus-daemon is there (Debian's package dbus-daemon)");
        let bus = Self { daemon, folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(bus.socket()).await.is_err() {
            assert!(Instant::now() < deadline, "the bus didn't come up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bus
    }

    async fn client(&self) -> Builder<'static> {
        Builder::unix_stream(UnixStream::connect(self.socket()).await.unwrap())
    }
}

#[derive(Clone)]
struct Fake {
    name: &'static str,
    load: &'static str,
    active: &'static str,
    sub: &'static str,
    file: &'static str,
    restarts: u32,
    changed_us: u64,
}

const FAKES: [Fake; 4] = [
    Fake {
        name: "web.service",
        load: "loaded",
        active: "active",
        sub: "running",
        file: "enabled",
        restarts: 0,
        changed_us: 1_700_000_000_123_456,
    },
    Fake {
        name: "worker.service",
        load: "loaded",
        active: "active",
        sub: "running",
        file: "static",
        restarts: 7,
        changed_us: 1_700_000_001_000_000,
    },
    Fake {
        name: "batch.service",
        load: "loaded",
        active: "failed",
        sub: "failed",
        file: "disabled",
        restarts: 3,
        changed_us: 0,
    },
    Fake {
        name: "daily.timer",
        load: "loaded",
        active: "active",
        sub: "waiting",
        file: "enabled",
        restarts: 9,
        changed_us: 1,
    },
];

fn object(name: &str) -> OwnedObjectPath {
    let escaped = name.replace('.', "_2e").replace('-', "_2d");
    ObjectPath::try_from(format!("/org/freedesktop/systemd1/unit/{escaped}"))
        .unwrap()
        .into()
}

fn row(fake: &Fake) -> Row {
    (
        fake.name.to_owned(),
        format!("the {}", fake.name),
        fake.load.to_owned(),
        fake.active.to_owned(),
        fake.sub.to_owned(),
        String::new(),
        object(fake.name),
        0,
        String::new(),
        ObjectPath::try_from("/").unwrap().into(),
    )
}

struct FakeManager {
    /// As many units more, which every glob matches.
    crowd: usize,
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn list_units_by_patterns(&self, states: Vec<String>, patterns: Vec<String>) -> fdo::Result<Vec<Row>> {
        assert!(states.is_empty());
        let matches = |fake: &Fake| {
            patterns.iter().any(|pattern| {
                let (start, end) = pattern.split_once('*').unwrap();
                fake.name.starts_with(start) && fake.name.ends_with(end)
            })
        };
        let mut rows: Vec<Row> = FAKES.iter().filter(|fake| matches(fake)).map(row).collect();
        rows.extend((0..self.crowd).map(|number| {
            let mut row = row(&FAKES[0]);
            row.0 = format!("crowd{number}.service");
            row
        }));
        Ok(rows)
    }

    fn list_units_by_names(&self, names: Vec<String>) -> fdo::Result<Vec<Row>> {
        let find = |name: &String| match FAKES.iter().find(|fake| fake.name == name) {
            Some(fake) => row(fake),
            None => {
                let mut row = row(&FAKES[0]);
                (row.0, row.2, row.3, row.4) = (
                    name.clone(),
                    "not-found".to_owned(),
                    "inactive".to_owned(),
                    "dead".to_owned(),
                );
                row
            }
        };
        Ok(names.iter().map(find).collect())
    }
}

struct FakeUnit(Fake);

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn unit_file_state(&self) -> &str {
        self.0.file
    }

    #[zbus(property)]
    fn state_change_timestamp(&self) -> u64 {
        self.0.changed_us
    }
}

struct FakeService(Fake);

#[interface(name = "org.freedesktop.systemd1.Service")]
impl FakeService {
    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        self.0.restarts
    }
}

async fn systemd(bus: &Bus, crowd: usize) -> Connection {
    let mut builder = bus
        .client()
        .await
        .name(SYSTEMD)
        .unwrap()
        .serve_at("/org/freedesktop/systemd1", FakeManager { crowd })
        .unwrap();
    for fake in FAKES {
        builder = builder
            .serve_at(object(fake.name), FakeUnit(fake.clone()))
            .unwrap();
        builder = builder.serve_at(object(fake.name), FakeService(fake)).unwrap();
    }
    builder.build().await.unwrap()
}

async fn ask_for(bus: &Path, patterns: &[&str]) -> Result<Vec<Service>, FactError> {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    read(&guard(&["host-facts:services"]), bus, patterns, deadline).await
}

fn names(services: &[Service]) -> Vec<&str> {
    services.iter().map(|service| service.name.as_str()).collect()
}

#[tokio::test]
async fn units_are_told_with_their_states_and_restarts() {
    let bus = Bus::start().await;
    let _systemd = systemd(&bus, 0).await;
    let found = ask_for(&bus.socket(), &["*.service"]).await.unwrap();
    assert_eq!(names(&found), ["batch.service", "web.service", "worker.service"]);
    let web = Service {
        name: "web.service".to_owned(),
        description: "the web.service".to_owned(),
        load: "loaded".to_owned(),
        active: "active".to_owned(),
        sub: "running".to_owned(),
        enabled: "enabled".to_owned(),
        restarts: 0,
        since_unix_ms: Some(1_700_000_000_123),
    };
    assert_eq!(found[1], web);
    assert_eq!(
        (found[0].active.as_str(), found[0].since_unix_ms),
        ("failed", None)
    );
    assert_eq!((found[2].enabled.as_str(), found[2].restarts), ("static", 7));
}

#[tokio::test]
async fn a_name_needs_no_kind_and_a_unit_that_is_not_there_is_told_as_such() {
    let bus = Bus::start().await;
    let _systemd = systemd(&bus, 0).await;
    let found = ask_for(&bus.socket(), &["web", "nothing", "daily.timer", "web.service"])
        .await
        .unwrap();
    assert_eq!(names(&found), ["daily.timer", "nothing.service", "web.service"]);
    assert_eq!(
        (found[0].sub.as_str(), found[0].restarts),
        ("waiting", 0),
        "a timer isn't restarted"
    );
    assert_eq!(
        (found[1].load.as_str(), found[1].enabled.as_str()),
        ("not-found", "")
    );
    assert!(ask_for(&bus.socket(), &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn too_many_units_or_patterns_are_refused() {
    let bus = Bus::start().await;
    let _systemd = systemd(&bus, 300).await;
    let error = ask_for(&bus.socket(), &["w*"]).await.unwrap_err().to_string();
    assert!(error.contains("302 units match, at most 256"), "{error}");
    let long = "x".repeat(256);
    for patterns in [vec!["a"; 65], vec![long.as_str()], vec![""], vec!["a\n"]] {
        assert!(matches!(
            ask_for(&bus.socket(), &patterns).await,
            Err(FactError::Other(_))
        ));
    }
}

#[tokio::test]
async fn without_the_grant_the_bus_is_not_even_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let guard = guard(&["host-facts:cpu"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let denied = read(&guard, &socket, vec!["*".to_owned()], deadline)
        .await
        .unwrap_err();
    assert!(denied.to_string().contains("host-facts:services"), "{denied}");
    assert_eq!(guard.denials().len(), 1);
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "somebody connected");
}

#[tokio::test]
async fn no_bus_and_no_systemd_are_unsupported_with_the_reason() {
    let missing = ask_for(Path::new("/does/not/exist"), &["*"]).await.unwrap_err();
    assert!(matches!(missing, FactError::Unsupported(_)));
    assert!(
        missing.to_string().contains("no bus at /does/not/exist"),
        "{missing}"
    );
    let bus = Bus::start().await;
    let other = ask_for(&bus.socket(), &["*"]).await.unwrap_err();
    assert!(matches!(other, FactError::Unsupported(_)), "{other}");
    assert!(other.to_string().contains("systemd"), "{other}");
}

/// Whether it says nothing from the start, or stops in the middle of what it says.
#[tokio::test]
async fn a_bus_that_hangs_is_waited_for_as_long_as_is_said_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let began = Instant::now();
    let asking = ask_for(&socket, &["*"]);
    let hanging = async {
        let (stream, _) = listener.accept().await.unwrap();
        // Ends when the other side lets go, which it does on its own.
        let mut left = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut { stream }, &mut left)
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(asking, hanging) })
        .await
        .expect("neither side hangs");
    let sentence = answer.unwrap_err().to_string();
    assert!(sentence.contains("didn't answer within 2s"), "{sentence}");
    assert!(began.elapsed() >= PATIENCE);
}
