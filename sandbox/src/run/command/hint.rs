//! Grants that a command seems to lack.
//!
//! A program that opens a file outside of its directories never reaches the host: its own C library knows that there is no
//! way, and the program prints "no such file". So where a command isn't content, and was given the path of something that
//! is there and not granted, the host says which grant opens it.

use std::path::Path;
use std::time::Duration;

use crate::component::Import;
use crate::grant::{Grant, GrantSet};

/// Looking at a path may hang where a file server is gone.
const PATIENCE: Duration = Duration::from_millis(500);
const MAX_HINTS: usize = 4;

/// A sentence for each argument that names a file or a directory which exists and isn't granted.
pub(super) async fn ungranted_files(
    imports: &[Import],
    arguments: &[String],
    grants: &GrantSet,
) -> Vec<String> {
    let reads = imports
        .iter()
        .any(|import| import.name.starts_with("wasi:filesystem/"));
    let mut hints = Vec::new();
    if !reads {
        return hints;
    }
    for argument in arguments {
        // `/var/log/app`, `--file=/var/log/app`, `-f/var/log/app`
        let Some(path) = argument.find('/').map(|start| Path::new(&argument[start..])) else {
            continue;
        };
        if hints.len() == MAX_HINTS {
            break;
        }
        let Ok(Ok(metadata)) = tokio::time::timeout(PATIENCE, tokio::fs::metadata(path)).await else {
            continue;
        };
        // Neither a pipe nor a device can be granted.
        if !metadata.is_dir() && !metadata.is_file() {
            continue;
        }
        if let Ok(grant) = format!("read:{}", path.display()).parse::<Grant>()
            && grants.satisfies(&grant).is_err()
        {
            let hint = format!(
                "the command may not read {}: add allow = [\"{grant}\"] to the check",
                path.display()
            );
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hints(import: &str, argument: &str, grants: &[&str]) -> Vec<String> {
        let imports = [Import {
            name: import.to_owned(),
        }];
        ungranted_files(
            &imports,
            &[argument.to_owned()],
            &GrantSet::parse(grants).unwrap(),
        )
        .await
    }

    #[tokio::test]
    async fn a_file_that_is_there_and_not_granted_is_named_with_the_line_to_add() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.log");
        std::fs::write(&file, "x").unwrap();
        let (folder, file) = (folder.path().display(), file.display());
        let expected = format!("the command may not read {file}: add allow = [\"read:{file}\"] to the check");
        const FILES: &str = "wasi:filesystem/types@0.2.12";
        for argument in [format!("{file}"), format!("--file={file}"), format!("-f{file}")] {
            assert_eq!(
                hints(FILES, &argument, &[]).await,
                [expected.as_str()],
                "{argument}"
            );
        }
        assert_eq!(hints(FILES, &folder.to_string(), &[]).await.len(), 1);
        for granted in [format!("read:{folder}"), format!("read:{file}")] {
            assert!(hints(FILES, &file.to_string(), &[&granted]).await.is_empty());
        }
        assert!(hints(FILES, &format!("{folder}/missing"), &[]).await.is_empty());
        assert!(
            hints("wasi:sockets/tcp@0.2.12", &file.to_string(), &[])
                .await
                .is_empty()
        );
    }
}
