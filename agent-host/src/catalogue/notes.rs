//! What people should know of a checker that runs all the same.

use super::signed_versions::SignedVersions;
use super::trust::Signer;
use super::{Catalogue, Entry};

/// The sentence about a file; `None` where there is nothing to know, or nothing that runs.
pub(super) fn note(
    catalogue: &Catalogue,
    stem: &str,
    entry: &Entry,
    seen: &SignedVersions,
) -> Option<String> {
    let checker = entry.checker.as_ref()?;
    let name = &checker.descriptor().name;
    match &entry.signer {
        Signer::NotChecked => None,
        Signer::Unsigned => {
            let before: Vec<String> = seen
                .of(name)
                .map(|(publisher, version)| format!("{publisher} signed version {version}"))
                .collect();
            let before = if before.is_empty() {
                String::new()
            } else {
                format!(
                    "; of the checker `{name}` that was here before, {}",
                    before.join(", ")
                )
            };
            Some(format!(
                "unsigned: nothing proves where it comes from, and [signatures] policy = \"warn\" lets it run{before}"
            ))
        }
        Signer::Unknown(manifest, key) => Some(format!(
            "signed by an unknown publisher: `{}` with {key} is not in agent.toml, and [signatures] policy = \"warn\" \
             lets it run",
            manifest.publisher()
        )),
        Signer::Publisher(manifest) => {
            let newer = seen.newer_than(manifest)?;
            let version = manifest.version();
            let aside = format!("{name}@{version}");
            // It is there for the checks that pin it, while the others have another one.
            let is_aside = stem == aside
                && catalogue
                    .find(name)
                    .is_ok_and(|found| found.digest() != checker.digest());
            if is_aside {
                return None;
            }
            Some(format!(
                "rollback: this is version {version}, and {} has signed version {newer} that was here before; if it is \
                 for checks that pin it, name the file {aside}.wasm beside the newer one",
                manifest.publisher()
            ))
        }
    }
}
