//! One gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Installation, TRUST_DOMAIN, path};
use crate::process::{Process, command};

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The process.
    pub process: Process,
}

impl Installation {
    /// Makes a gateway's folder and key and installs the certificate that it got from the platform.
    pub fn add_gateway(&self, name: &str, platform: SocketAddr) -> anyhow::Result<PathBuf> {
        let folder = self.folder().join(format!("gateway-{name}"));
        let platform = platform.to_string();
        command(
            "gateway",
            &[
                "init",
                "--name",
                name,
                "--dir",
                path(&folder)?,
                "--platform",
                &platform,
                "--trust-domain",
                TRUST_DOMAIN,
            ],
        )?;
        let bundle = self.folder().join(format!("gateway-{name}.json"));
        let request = folder.join("identity/request.csr");
        self.platform_command(&[
            "gateway",
            "add",
            "--name",
            name,
            "--csr",
            path(&request)?,
            "--out",
            path(&bundle)?,
        ])?;
        command(
            "gateway",
            &[
                "enroll",
                path(&bundle)?,
                "--config",
                path(&folder.join("gateway.toml"))?,
            ],
        )?;
        Ok(folder)
    }

    /// Adds a gateway and starts it; it is ready once it has its agents from the platform.
    pub fn start_gateway(&self, name: &str, platform: SocketAddr) -> anyhow::Result<Gateway> {
        let folder = self.add_gateway(name, platform)?;
        self.start_gateway_in(name, folder)
    }

    /// Starts a gateway that was added before.
    pub fn start_gateway_in(&self, name: &str, folder: PathBuf) -> anyhow::Result<Gateway> {
        let config = folder.join("gateway.toml");
        let process = Process::start(
            &format!("gateway-{name}"),
            "gateway",
            &["run", "--config", path(&config)?],
            self.folder(),
        )?;
        Ok(Gateway {
            name: name.to_owned(),
            folder,
            process,
        })
    }
}
