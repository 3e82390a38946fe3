//! `gateway init`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use picket_identity::credential::PrivateKey;
use picket_identity::name::GatewayName;
use picket_identity::pem;
use picket_identity::spiffe::{SpiffeId, TrustDomain};

use super::exit::Failed;
use super::output;
use crate::config::host_and_port;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The gateway's name, unique on its platform.
    #[arg(long)]
    name: GatewayName,
    /// The platform's gRPC address.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    platform: String,
    /// The platform's trust domain, as `platform init` was given it.
    #[arg(long, value_name = "NAME")]
    trust_domain: TrustDomain,
    /// Where to write.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

pub(super) fn init(args: &InitArgs) -> Result<(), Failed> {
    let config = args.dir.join("gateway.toml");
    let identity = args.dir.join("identity");
    let key_path = identity.join("identity.key");
    std::fs::create_dir_all(&args.dir).map_err(cannot_write(&args.dir))?;
    write_new(&config, &configuration(args)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failed::problems(format!(
            "{} is there already; remove it to begin anew, or name another folder with --dir",
            config.display()
        )),
        _ => cannot_write(&config)(error),
    })?;
    // A key that is there stays: the certificate that was made for it would be lost with it.
    let key = if key_path.exists() {
        PrivateKey::load(&key_path).map_err(Failed::misconfigured)?
    } else {
        let key = PrivateKey::generate().map_err(Failed::unavailable)?;
        key.store(&key_path).map_err(Failed::misconfigured)?;
        key
    };
    let id = SpiffeId::Gateway {
        platform: args.trust_domain.clone(),
        gateway: args.name.clone(),
    };
    let request = key.csr(&id.common_name()).map_err(Failed::unavailable)?;
    let request_path = identity.join("request.csr");
    std::fs::write(&request_path, pem::request(&request)).map_err(cannot_write(&request_path))?;
    eprint(&format!(
        "wrote {}\nnext, on the platform:  platform gateway add --name {} --csr {} --out {}.json\nthen, here:            \
         gateway enroll {}.json --config {}\n",
        config.display(),
        args.name,
        request_path.display(),
        args.name,
        args.name,
        config.display(),
    ));
    output::line(&format!("{}\n", request_path.display()))
}

fn eprint(text: &str) {
    // Nobody reads it where stderr is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn cannot_write(path: &Path) -> impl Fn(io::Error) -> Failed {
    move |error| Failed::misconfigured(format!("{} can't be written: {error}", path.display()))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn configuration(args: &InitArgs) -> String {
    // None of these can hold a quote or a backslash: each was checked when the command line was read.
    format!(
        "name = \"{}\"\nplatform = \"{}\"\ntrust_domain = \"{}\"\nidentity_dir = \"identity\"\n\n# Served to this \
         machine only.\n#[metrics]\n#listen = \"127.0.0.1:9465\"\n",
        args.name, args.platform, args.trust_domain
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn args(dir: &Path) -> InitArgs {
        InitArgs {
            name: "gw-1".parse().unwrap(),
            platform: "platform.example:7600".to_owned(),
            trust_domain: "picket.example".parse().unwrap(),
            dir: dir.to_owned(),
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        init(&args(folder.path())).unwrap();
        let config = Config::load(&folder.path().join("gateway.toml")).unwrap();
        assert_eq!(config.name.as_str(), "gw-1");
        assert_eq!(config.trust_domain, Some("picket.example".parse().unwrap()));
        let identity = config.identity.folder().unwrap();
        assert!(PrivateKey::load(&identity.join("identity.key")).is_ok());
        let request = std::fs::read(identity.join("request.csr")).unwrap();
        assert!(pem::parse_request(&request).is_ok());
    }

    #[test]
    fn a_second_init_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        init(&args(folder.path())).unwrap();
        let key = std::fs::read(folder.path().join("identity/identity.key")).unwrap();
        assert!(init(&args(folder.path())).is_err());
        assert_eq!(
            std::fs::read(folder.path().join("identity/identity.key")).unwrap(),
            key
        );
    }
}
