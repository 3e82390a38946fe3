//! The real program, run by a test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, eventually};

/// The program, started, with its output going to files.
pub(crate) struct Program {
    pub(crate) child: Child,
    folder: PathBuf,
    name: String,
}

impl Program {
    pub(crate) fn start(world: &World, name: &str, arguments: &[&str]) -> Self {
        let folder = world.path("");
        let file = |kind: &str| std::fs::File::create(folder.join(format!("{name}.{kind}"))).unwrap();
        let _ = std::fs::remove_file(folder.join(format!("{name}.json")));
        let child = Command::new(env!("CARGO_BIN_EXE_agent-host"))
            .current_dir(&folder)
            .args(arguments)
            .args(["--ready-file", &format!("{name}.json")])
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        Self {
            child,
            folder,
            name: name.to_owned(),
        }
    }

    pub(crate) fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.file("err")).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.file("out")).unwrap()
    }

    pub(crate) async fn address(&mut self) -> SocketAddr {
        let ready = self.file("json");
        let look = || async {
            let text = std::fs::read(&ready).ok()?;
            let ready: serde_json::Value = serde_json::from_slice(&text).ok()?;
            Some(ready["addresses"]["grpc"].as_str()?.parse().unwrap())
        };
        let address = eventually("the ready file", look).await;
        assert!(self.child.try_wait().unwrap().is_none(), "{}", self.stderr());
        address
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let child = std::cell::RefCell::new(&mut self.child);
        let ended = || async { child.borrow_mut().try_wait().unwrap() };
        eventually("the end", ended).await.code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
