//! `platform.toml`. It is read whole, and everything that is wrong with it is reported at once, with its place.
//!
//! - [`reader`]: the tables and keys of a TOML file, with their places.
//! - [`problem`]: what is wrong with a file, as people get to see it.

pub mod problem;
pub mod reader;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use picket_identity::name::NodeName;
use picket_identity::spiffe::TrustDomain;
use picket_workload::Socket;

use crate::authority::encryption::{Sources, source};
use crate::authority::keys::KeyFolder;
pub use problem::ConfigError;
use reader::Table;

/// The platform's configuration. Paths are absolute, or relative to the working directory of the process.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where database and keys are.
    pub data_dir: PathBuf,
    /// The platform's own SPIFFE trust domain.
    pub trust_domain: TrustDomain,
    /// This process's name among the platform's processes.
    pub node: NodeName,
    /// The pages and the API.
    pub web: WebConfig,
    /// The port for gateways.
    pub grpc: GrpcConfig,
    /// The Workload API that this process's key and certificate for that port come from, where they don't come from the
    /// platform CA.
    pub workload_api: Option<Socket>,
    /// What is kept for how long.
    pub retention: RetentionConfig,
    /// The authorities' keys.
    pub authority_keys: KeysConfig,
}

/// The authorities' keys.
#[derive(Debug, Clone, Default)]
pub struct KeysConfig {
    /// The file with what they are encrypted with. Where none is named, it comes from a systemd credential or from the
    /// environment.
    pub encryption_key_file: Option<PathBuf>,
}

/// The pages and the API.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// Where they listen.
    pub listen: SocketAddr,
    /// The names in the certificate from the platform CA.
    pub names: Vec<String>,
    /// How they are secured.
    pub security: WebSecurity,
}

/// How the pages are secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSecurity {
    /// HTTPS with a certificate from the platform CA.
    PlatformCa,
    /// HTTPS with a certificate that was given.
    Given {
        /// PEM: leaf first.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
    /// Plain HTTP: only on a loopback address, for a proxy on this machine.
    Plain,
}

/// The port for gateways.
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// What is kept for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Results.
    pub results_days: u32,
    /// Changes of checks' status.
    pub events_days: u32,
    /// Resolved alerts.
    pub alerts_days: u32,
    /// Ended jobs.
    pub jobs_days: u32,
    /// A check that gave no result for so long was taken out of its agent's configuration.
    pub silent_checks_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        // A quarter of results shows last month against the one before; a year of changes is what reports on
        // availability ask for.
        Self {
            results_days: 90,
            events_days: 400,
            alerts_days: 400,
            jobs_days: 7,
            silent_checks_days: 7,
        }
    }
}

const DEFAULT_WEB: &str = "127.0.0.1:8443";
const DEFAULT_GRPC: &str = "0.0.0.0:7600";

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`]: it can't be read, or what is wrong with it, all of it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        Self::parse(&text, path, folder)
    }

    /// Reads a text; relative paths in it are relative to `folder`, and `path` is named in problems.
    ///
    /// # Errors
    /// [`ConfigError`]: what is wrong with it, all of it.
    pub fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, ConfigError> {
        reader::read(text, path, |root| {
            let data_dir = root.text("data_dir", Some("."));
            let trust_domain = root.parsed("trust_domain", None, "picket.example");
            let node = root.parsed("node", Some("node-1"), "node-1");
            let web = root.table("web", |table| web(table, folder));
            let grpc = root.table("grpc", |table| {
                Some(GrpcConfig {
                    listen: table.parsed("listen", Some(DEFAULT_GRPC), DEFAULT_GRPC)?,
                })
            });
            let workload_api = root.table("identity", workload_api);
            let retention = root.table("retention", |table| Some(retention(table)));
            let data_dir = data_dir.map(|data_dir| folder.join(data_dir));
            let authority_keys = root.table("keys", |table| keys(table, folder, data_dir.as_deref()));
            Some(Self {
                data_dir: data_dir?,
                trust_domain: trust_domain?,
                node: node?,
                web: web?,
                grpc: grpc?,
                workload_api: workload_api?,
                retention: retention?,
                authority_keys: authority_keys?,
            })
        })
    }

    /// The database's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("picket.db")
    }

    /// The folder of the authorities' keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// The same, with what its files are encrypted with; and with the root's key, where that was moved out and is brought
    /// for this once.
    #[must_use]
    pub fn key_folder(&self, root: Option<&Path>) -> KeyFolder {
        let file = self.authority_keys.encryption_key_file.clone();
        KeyFolder::with_root(
            &self.keys(),
            Sources::of_this_process(file),
            root.map(Path::to_owned),
        )
    }
}

fn keys(table: &mut Table<'_>, folder: &Path, data_dir: Option<&Path>) -> Option<KeysConfig> {
    let file = table
        .optional_text("encryption_key_file")
        .map(|file| folder.join(file));
    if let (Some(file), Some(data_dir)) = (&file, data_dir)
        && let Err(error) = source::require_outside(file, data_dir)
    {
        table.refuse("encryption_key_file", &error.to_string());
        return None;
    }
    Some(KeysConfig {
        encryption_key_file: file,
    })
}

/// `None` where a problem was reported.
fn workload_api(table: &mut Table<'_>) -> Option<Option<Socket>> {
    let Some(text) = table.optional_text("workload_api") else {
        return Some(None);
    };
    match text.parse() {
        Ok(socket) => Some(Some(socket)),
        Err(error) => {
            table.refuse("workload_api", &format!("{error}"));
            None
        }
    }
}

fn web(table: &mut Table<'_>, folder: &Path) -> Option<WebConfig> {
    let listen: Option<SocketAddr> = table.parsed("listen", Some(DEFAULT_WEB), DEFAULT_WEB);
    let names = table.texts("names", &["localhost", "127.0.0.1"]);
    let certificate = table.optional_text("certificate");
    let key = table.optional_text("key");
    let plain = table.flag("plain_http", false);
    let listen = listen?;
    let security = match (certificate, key, plain?) {
        (None, None, false) => WebSecurity::PlatformCa,
        (Some(certificate), Some(key), false) => WebSecurity::Given {
            certificate: folder.join(certificate),
            key: folder.join(key),
        },
        (None, None, true) if listen.ip().is_loopback() => WebSecurity::Plain,
        (None, None, true) => {
            table.refuse("plain_http", "plain HTTP is only served on a loopback address; set `listen` to 127.0.0.1 or [::1], or leave `plain_http` out");
            return None;
        }
        (Some(_), None, _) => {
            table.refuse("certificate", "a certificate needs its key; add `key`");
            return None;
        }
        (None, Some(_), _) => {
            table.refuse("key", "a key needs its certificate; add `certificate`");
            return None;
        }
        (Some(_), Some(_), true) => {
            table.refuse(
                "plain_http",
                "a certificate is given too; leave out one of the two",
            );
            return None;
        }
    };
    Some(WebConfig {
        listen,
        names: names?,
        security,
    })
}

fn retention(table: &mut Table<'_>) -> RetentionConfig {
    let default = RetentionConfig::default();
    RetentionConfig {
        results_days: table.days("results_days", default.results_days),
        events_days: table.days("events_days", default.events_days),
        alerts_days: table.days("alerts_days", default.alerts_days),
        jobs_days: table.days("jobs_days", default.jobs_days),
        silent_checks_days: table.days("silent_checks_days", default.silent_checks_days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("platform.toml"), Path::new("/srv/picket"))
    }

    fn problems(text: &str) -> String {
        let error = parse(text).unwrap_err();
        let mut out = String::new();
        miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none())
            .render_report(&mut out, &error)
            .unwrap();
        out
    }

    #[test]
    fn the_least_that_is_needed_is_a_trust_domain() {
        let config = parse("trust_domain = \"picket.example\"").unwrap();
        assert_eq!(config.web.listen.to_string(), DEFAULT_WEB);
        assert_eq!(config.database(), Path::new("/srv/picket/./picket.db"));
        assert_eq!(config.web.security, WebSecurity::PlatformCa);
        assert_eq!(config.retention, RetentionConfig::default());
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = "trust_domian = \"picket.example\"\n[web]\nlisten = \"localhost\"\nnames = \"x\"\n[grpc]\nlisten = 7600\n[retention]\nresults_days = -1\n";
        let shown = problems(text);
        for part in [
            "trust_domian",
            "did you mean `trust_domain`",
            "localhost",
            "names",
            "7600",
            "results_days",
        ] {
            assert!(shown.contains(part), "{part} is missing in:\n{shown}");
        }
    }

    #[test]
    fn a_broken_file_is_shown_with_its_line() {
        let shown = problems("trust_domain = \"picket.example\"\nnode = \n");
        assert!(shown.contains("platform.toml:2"), "{shown}");
    }

    #[test]
    fn plain_http_is_refused_off_loopback() {
        let shown =
            problems("trust_domain = \"p.example\"\n[web]\nlisten = \"0.0.0.0:80\"\nplain_http = true\n");
        assert!(shown.contains("loopback"), "{shown}");
    }

    #[test]
    fn the_encryption_key_is_not_where_the_data_is() {
        let inside = problems("trust_domain = \"p.example\"\n[keys]\nencryption_key_file = \"ca.key\"\n");
        assert!(inside.contains("inside of the data folder"), "{inside}");
        let outside =
            parse("trust_domain = \"p.example\"\n[keys]\nencryption_key_file = \"/etc/picket/ca.key\"\n");
        let file = outside.unwrap().authority_keys.encryption_key_file;
        assert_eq!(file.as_deref(), Some(Path::new("/etc/picket/ca.key")));
    }

    #[test]
    fn a_workload_api_is_a_unix_socket_and_off_where_nothing_is_said() {
        let text = "trust_domain = \"p.example\"\n[identity]\nworkload_api = ";
        let config = parse(&format!("{text}\"unix:///run/spire/agent.sock\"\n")).unwrap();
        assert_eq!(config.workload_api, "unix:///run/spire/agent.sock".parse().ok());
        assert_eq!(parse("trust_domain = \"p.example\"").unwrap().workload_api, None);
        let shown = problems(&format!("{text}\"tcp://127.0.0.1:8081\"\n"));
        assert!(shown.contains("isn't a Unix socket"), "{shown}");
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let shown = problems("trust_domain = \"p.example\"\n[web]\ncertificate = \"a.pem\"\n");
        assert!(shown.contains("add `key`"), "{shown}");
    }
}
