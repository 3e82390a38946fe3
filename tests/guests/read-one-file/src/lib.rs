//! Reads the one file that was granted, and tries everything around it.

#![cfg(target_family = "wasm")]

use std::fs;
use std::path::Path;

use guest_kit::{Error, Report, Request, failed, metric, ok};

/// The configuration is the granted file's path, as a JSON string. Beside it are `neighbour`, and the folder `below` with
/// a file `inner`.
fn run(request: &Request) -> Result<Report, Error> {
    let file = Path::new(request.config.trim_matches('"'));
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let size = fs::metadata(file).map_err(|error| failed(&error))?.len();
    let folder = file.parent().ok_or_else(|| failed(&"expected a path"))?;
    let name = file.file_name().unwrap_or_default();
    let attempts = [
        ("read a neighbour", fs::read(folder.join("neighbour")).is_ok()),
        ("see a neighbour", fs::metadata(folder.join("neighbour")).is_ok()),
        (
            "see a neighbour itself",
            fs::symlink_metadata(folder.join("neighbour")).is_ok(),
        ),
        ("read below", fs::read(folder.join("below/inner")).is_ok()),
        ("see below", fs::metadata(folder.join("below")).is_ok()),
        ("list below", fs::read_dir(folder.join("below")).is_ok()),
        ("list the folder", fs::read_dir(folder).is_ok()),
        ("see the folder", fs::metadata(folder).is_ok()),
        ("read a link", fs::read_link(file).is_ok()),
        (
            "leave and come back",
            fs::read(folder.join("below/..").join(name)).is_ok(),
        ),
        ("leave", fs::read(folder.join("../outside")).is_ok()),
        ("write", fs::write(file, b"changed").is_ok()),
        ("append", fs::File::options().append(true).open(file).is_ok()),
        (
            "truncate",
            fs::File::options().write(true).truncate(true).open(file).is_ok(),
        ),
        ("remove", fs::remove_file(file).is_ok()),
        ("rename", fs::rename(file, folder.join("moved")).is_ok()),
        ("hard-link", fs::hard_link(file, folder.join("link")).is_ok()),
        ("create", fs::write(folder.join("new"), b"new").is_ok()),
        (
            "create a folder",
            fs::create_dir(folder.join("new-folder")).is_ok(),
        ),
    ];
    let succeeded: Vec<_> = attempts
        .iter()
        .filter(|(_, done)| *done)
        .map(|(what, _)| *what)
        .collect();
    let mut report = ok(text.trim());
    report.details = Some(succeeded.join(", "));
    report.metrics = vec![
        metric("succeeded", succeeded.len() as f64),
        metric("size", size as f64),
    ];
    Ok(report)
}

guest_kit::guest!(run);
