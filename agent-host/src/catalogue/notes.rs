//! What people should know of a checker that runs all the same.

use picket_sandbox::component::signature::Manifest;

use super::signed_versions::SignedVersions;
use super::trust::Signer;
use super::{Catalogue, Entry};

/// That no trusted publisher signed it. `checker` is its name, where it is known.
pub(crate) fn untrusted(signer: &Signer, checker: Option<&str>, seen: &SignedVersions) -> Option<String> {
    match signer {
        Signer::NotChecked | Signer::Publisher(_) => None,
        Signer::Unsigned => {
            let before: Vec<String> = checker
                .into_iter()
                .flat_map(|name| seen.of(name))
                .map(|(publisher, version)| format!("{publisher} signed version {version}"))
                .collect();
            let before = match (before.is_empty(), checker) {
                (false, Some(name)) => {
                    format!(
                        "; of the checker `{name}` that was here before, {}",
                        before.join(", ")
                    )
                }
                _ => String::new(),
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
    }
}

/// That its publisher has signed a newer version, which was here before.
pub(crate) fn rollback(manifest: &Manifest, seen: &SignedVersions) -> Option<String> {
    let newer = seen.newer_than(manifest)?;
    Some(format!(
        "rollback: this is version {}, and {} has signed version {newer} that was here before",
        manifest.version(),
        manifest.publisher()
    ))
}

/// The stem of a file that is there for the checks that pin this version.
pub(crate) fn aside(checker: &str, version: &str) -> String {
    format!("{checker}@{version}")
}

/// The sentence about a file of the catalogue; `None` where there is nothing to know, or nothing that runs.
pub(super) fn note(
    catalogue: &Catalogue,
    stem: &str,
    entry: &Entry,
    seen: &SignedVersions,
) -> Option<String> {
    let checker = entry.checker.as_ref()?;
    let (name, version) = (&checker.descriptor().name, &checker.descriptor().version);
    let Some(manifest) = entry.signer.trusted() else {
        return untrusted(&entry.signer, Some(name), seen);
    };
    let rollback = rollback(manifest, seen)?;
    let aside = aside(name, version);
    let plain = catalogue.find(name);
    // The name without a version means another file: who gets this one has asked for its version.
    if stem == aside && plain.is_ok_and(|found| found.digest() != checker.digest()) {
        return None;
    }
    Some(format!(
        "{rollback}; if it is for checks that pin it, name the file {aside}.wasm beside the newer one"
    ))
}
