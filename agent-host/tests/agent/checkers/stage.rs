//! An agent that trusts an author, and the author, who signs versions of a checker for it.

use std::path::PathBuf;
use std::process::{Command, Output};

use picket_proto::agent::v1::{CheckerDescription, DescribeRequest, RunCheckRequest};
use serde_json::Value;

use crate::world::{Gateway, World, eventually, guest};

/// The version in the guest's bytes; see `tests/guests/versioned`.
pub(crate) const BUILT: &str = "10.20.30";
pub(crate) const OLDER: &str = "10.20.29";
pub(crate) const NEWER: &str = "10.20.31";
pub(crate) const OTHER_LINE: &str = "10.19.30";

/// An agent, and an author with a key who signs versions of a checker for it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) public: String,
}

impl Stage {
    /// An agent that trusts `Acme`, whose key is in `author/key.pem`.
    pub(crate) fn new(policy: &str) -> Self {
        let world = World::new();
        let stage = Self {
            public: keygen(&world, "author/key.pem"),
            world,
        };
        stage.trust(policy, "Acme", &stage.public);
        stage
    }

    pub(crate) fn trust(&self, policy: &str, name: &str, key: &str) {
        self.world.write(
            "agent.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n[signatures]\npolicy = \"{policy}\"\n\
                 [[signatures.publisher]]\nname = \"{name}\"\nkey = \"{key}\"\n"
            ),
        );
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        agent_host(&self.world, arguments)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        let parsed = serde_json::from_slice(&output.stdout);
        assert!(parsed.is_ok(), "{}", said(&output));
        parsed.unwrap()
    }

    /// The guest in that version, as a file of the author's.
    pub(crate) fn built(&self, version: &str) -> PathBuf {
        let path = self.world.path("author").join(format!("{version}.wasm"));
        std::fs::write(&path, in_version(version)).unwrap();
        path
    }

    /// The same, signed beside it.
    pub(crate) fn signed(&self, version: &str) -> PathBuf {
        let path = self.built(version);
        self.sign(&path, &[]);
        path
    }

    pub(crate) fn sign(&self, path: &std::path::Path, more: &[&str]) {
        let arguments = [
            "checker",
            "sign",
            path.to_str().unwrap(),
            "--key",
            "author/key.pem",
            "--publisher",
            "Acme",
        ];
        let output = self.run(&[&arguments, more].concat());
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Copies a file into the checkers folder as a customer would by hand, its signature first.
    pub(crate) fn drop_in(&self, from: &std::path::Path, stem: &str) {
        let into = self.world.path("checkers").join(format!("{stem}.wasm"));
        for (from, to) in [(beside(from), beside(&into)), (from.to_path_buf(), into)] {
            if from.exists() {
                let temporary = self.world.path("checkers/.new");
                std::fs::copy(from, &temporary).unwrap();
                std::fs::rename(temporary, to).unwrap();
            }
        }
    }

    pub(crate) fn install(&self, file: &std::path::Path) -> Value {
        self.json(&["checker", "install", file.to_str().unwrap(), "--yes"])
    }

    pub(crate) fn compiled(&self) -> usize {
        let Ok(files) = std::fs::read_dir(self.world.path("data/compiled")) else {
            return 0;
        };
        files
            .filter(|file| {
                let path = file.as_ref().unwrap().path();
                path.extension().is_some_and(|suffix| suffix == "cwasm")
            })
            .count()
    }
}

pub(crate) fn agent_host(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_agent-host"))
        .current_dir(world.path(""))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn keygen(world: &World, out: &str) -> String {
    let output = agent_host(world, &["checker", "keygen", "--out", out]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

pub(crate) fn beside(path: &std::path::Path) -> PathBuf {
    PathBuf::from(format!("{}.sig", path.display()))
}

pub(crate) fn in_version(version: &str) -> Vec<u8> {
    assert_eq!(version.len(), BUILT.len());
    let mut bytes = std::fs::read(guest("versioned")).unwrap();
    let at = bytes
        .windows(BUILT.len())
        .position(|window| window == BUILT.as_bytes())
        .unwrap();
    bytes[at..at + BUILT.len()].copy_from_slice(version.as_bytes());
    bytes
}

pub(crate) async fn checker(
    gateway: &Gateway,
    is_it: impl Fn(&CheckerDescription) -> bool,
) -> CheckerDescription {
    eventually("the checker", || async {
        let described = gateway.client.clone().describe(DescribeRequest {}).await.unwrap();
        described
            .into_inner()
            .checkers
            .into_iter()
            .find(|checker| is_it(checker))
    })
    .await
}

/// Runs a check; the summary says which version did.
pub(crate) async fn run(gateway: &Gateway, check: &str) -> String {
    let request = RunCheckRequest {
        check: check.to_owned(),
    };
    let answer = eventually("a run", || async {
        gateway.client.clone().run_check(request.clone()).await.ok()
    })
    .await;
    answer.into_inner().result.unwrap().summary
}

pub(crate) fn only(list: &Value) -> &Value {
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{list}");
    &items[0]
}
