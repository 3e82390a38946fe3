//! Debian's dnsmasq as a name server of the tests' own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::installation::free_port;
use crate::wait;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Dnsmasq {
    address: SocketAddr,
    child: Child,
}

impl Dnsmasq {
    /// Serves `names` on a free port of 127.0.0.1; every other name under `.test` doesn't exist.
    pub async fn start(names: &[(&str, Ipv4Addr)], folder: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("dnsmasq");
        command
            .args([
                "--keep-in-foreground",
                "--no-daemon",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ])
            .args([
                "--bind-interfaces",
                "--listen-address=127.0.0.1",
                "--local=/test/",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--pid-file={}", folder.join("dnsmasq.pid").display()));
        for (name, address) in names {
            command.arg(format!("--host-record={name},{address}"));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let child = command
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("can't start dnsmasq (Debian package dnsmasq-base)")?;
        let server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            child,
        };
        wait::until("dnsmasq to listen", || async {
            Ok(tokio::net::TcpStream::connect(server.address)
                .await
                .ok()
                .map(|_| ()))
        })
        .await?;
        Ok(server)
    }

    /// Where it listens, UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // It has no state to lose; a failure here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
