//! `agent-host checker keygen|sign`: what authors do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use picket_identity::credential::CredentialError;
use picket_identity::store::{self, StoreError};
use picket_identity::{pem, verify};
use picket_sandbox::component::signature::{KeyError, Manifest, PublicKey, Signature, SigningKey, section};
use serde_json::json;

use super::inspect::loader;
use crate::catalogue::candidate::Candidate;
use crate::catalogue::folder;
use crate::catalogue::loaded::CheckerError;
use crate::catalogue::trust::{self, Distrust};
use crate::cli::{CliError, Format, OutputArg, output};
use crate::config::{Policy, Publisher, SandboxSettings, SignatureSettings};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct KeygenArgs {
    /// Where to write the private key, in a folder that only this user may enter; it is made where there is none
    #[arg(long, value_name = "KEY.pem")]
    out: PathBuf,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SignArgs {
    /// A .wasm file
    file: PathBuf,
    /// The private key, as `keygen` writes it
    #[arg(long, value_name = "KEY.pem")]
    key: PathBuf,
    /// Who signs; customers write the same name into agent.toml
    #[arg(long, value_name = "NAME")]
    publisher: String,
    /// Put the signature into the component instead of a file beside it
    #[arg(long)]
    section: bool,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) fn keygen(args: &KeygenArgs) -> Result<ExitCode, CliError> {
    if args.out.symlink_metadata().is_ok() {
        return Err(CliError::Refused(format!(
            "{} is there already, and signatures by a lost key can't be made again: name another file. Nothing was \
             changed",
            args.out.display()
        )));
    }
    let broken = |source: KeyError| CliError::Key {
        path: args.out.clone(),
        source,
    };
    let key = SigningKey::generate().map_err(broken)?;
    let text = pem::private_key(key.to_pkcs8().map_err(broken)?.as_ref());
    store::write_secret(&args.out, text.as_bytes()).map_err(|error| match error {
        // Where the folder is shared, another one is better advice than to close it to the others.
        StoreError::Open { .. } => CliError::Refused(format!(
            "{error}; or name a folder that is made for the key, as in --out signing/key.pem. Nothing was changed"
        )),
        error => stored(error),
    })?;
    let public = key.public_key();
    match args.output.output {
        Format::Json => {
            output::json(&json!({ "key": args.out.display().to_string(), "public": public.to_string() }))?;
        }
        Format::Table => output::line(public.to_string())?,
    }
    let mut talk = std::io::stderr().lock();
    writeln!(
        talk,
        "wrote {}: keep it to yourself. Customers who trust you write into agent.toml:\n{}",
        args.out.display(),
        trust_lines("YOUR NAME", &public)
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn sign(args: &SignArgs) -> Result<ExitCode, CliError> {
    let key = read_key(&args.key)?;
    let failed = |source: CheckerError| CliError::Checker {
        path: args.file.clone(),
        source,
    };
    let candidate = Arc::new(Candidate::read(&args.file).map_err(|error| failed(error.into()))?);
    // The author's own file: it is run to be asked for its name and version, which are signed as it says them.
    let unchecked = SignatureSettings {
        policy: Policy::Off,
        publishers: Vec::new(),
    };
    let loaded = loader(unchecked, SandboxSettings::default())?
        .admit(&candidate)
        .await
        .map_err(failed)?;
    let descriptor = loaded.checker.descriptor();
    let manifest = Manifest::new(
        &descriptor.name,
        &descriptor.version,
        candidate.component(),
        &args.publisher,
        verify::now().as_secs(),
    )?;
    let text = Signature::sign(manifest, &key).encode();
    let wrong = |error: Distrust| failed(error.into());
    let written = if args.section {
        let signed =
            section::append(candidate.bytes(), text.as_bytes()).map_err(|error| wrong(error.into()))?;
        write(&args.file, &signed)?;
        args.file.clone()
    } else {
        let sidecar = folder::sidecar(&args.file);
        write(&sidecar, text.as_bytes())?;
        sidecar
    };
    // As a customer would: another signature that was there before, beside or inside, may be wrong.
    let customer = SignatureSettings {
        policy: Policy::Warn,
        publishers: vec![Publisher {
            name: args.publisher.clone(),
            key: key.public_key(),
        }],
    };
    let again = Candidate::read(&args.file).map_err(|error| failed(error.into()))?;
    trust::judge(&customer, &again).map_err(wrong)?;
    match args.output.output {
        Format::Json => output::json(&json!({
            "written": written.display().to_string(), "name": descriptor.name, "version": descriptor.version,
            "digest": loaded.checker.digest(), "publisher": args.publisher, "public": key.public_key().to_string(),
        }))?,
        Format::Table => output::line(written.display().to_string())?,
    }
    let mut talk = std::io::stderr().lock();
    writeln!(
        talk,
        "signed {} {} as {}. Customers who trust you have in agent.toml:\n{}",
        descriptor.name,
        descriptor.version,
        args.publisher,
        trust_lines(&args.publisher, &key.public_key())
    )?;
    Ok(ExitCode::SUCCESS)
}

fn trust_lines(publisher: &str, key: &PublicKey) -> String {
    format!("[[signatures.publisher]]\nname = \"{publisher}\"\nkey = \"{key}\"")
}

fn read_key(path: &Path) -> Result<SigningKey, CliError> {
    let text = store::read_secret(path).map_err(stored)?;
    let broken = |source: KeyError| CliError::Key {
        path: path.to_path_buf(),
        source,
    };
    let der = pem::parse_private_key(&text).map_err(|_| broken(KeyError::NotPrivate))?;
    SigningKey::from_pkcs8(&der).map_err(broken)
}

fn stored(error: StoreError) -> CliError {
    CliError::Credential(CredentialError::Store(error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    folder::replace(path, bytes).map_err(|source| CliError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    })
}
