//! `platform init`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::arguments::Init;
use super::{CliError, actor, output};
use crate::authority::Authority;
use crate::config::Config;
use crate::store::Store;

/// Makes a new installation in the data folder.
///
/// # Errors
/// [`CliError`]: there is one already, or the folder can't be written.
pub async fn run(arguments: &Init) -> Result<(), CliError> {
    let folder = &arguments.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| CliError::File {
            action: "make the data folder",
            path: folder.clone(),
            source,
        })?;
    let path = folder.join("platform.toml");
    if path.exists() {
        return Err(CliError::Exists(path));
    }
    let encryption = super::encryption_key::choose(arguments.encryption_key_file.as_deref(), folder)?;
    let text = configuration(arguments) + &encryption.section();
    let config = Config::parse(&text, &path, folder)?;
    let store = Store::create(&config.database()).await?;
    encryption.make()?;
    Authority::initialise(&store, &config.key_folder(None), &config.trust_domain, &actor()).await?;
    store.close().await;
    // Last: a folder with a configuration is a whole installation.
    write_new(&path, &text)?;
    output::note(&encryption.advice())?;
    output::line(&path.display().to_string())
}

fn configuration(arguments: &Init) -> String {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    for name in &arguments.names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let names: toml::Value = names
        .into_iter()
        .map(toml::Value::String)
        .collect::<Vec<_>>()
        .into();
    format!(
        "# Paths are relative to this file.\n\
         data_dir = \".\"\n\
         # Part of every identity; never changes.\n\
         trust_domain = \"{}\"\n\
         node = \"node-1\"\n\
         \n\
         [web]\n\
         # HTTPS with a certificate from the platform CA; or give your own with `certificate` and `key`.\n\
         listen = \"127.0.0.1:8443\"\n\
         names = {names}\n\
         \n\
         [grpc]\n\
         # Gateways connect here, over mutual TLS.\n\
         listen = \"0.0.0.0:7600\"\n",
        arguments.trust_domain
    )
}

fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|source| CliError::File {
            action: "write",
            path: path.to_owned(),
            source,
        })
}
