//! The mutants.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// By what they are about.
const FILES: &[(&str, &str)] = &[
    ("verify.toml", include_str!("../../mutants/verify.toml")),
    ("spire.toml", include_str!("../../mutants/spire.toml")),
    ("enrolling.toml", include_str!("../../mutants/enrolling.toml")),
    ("keeping.toml", include_str!("../../mutants/keeping.toml")),
    ("transport.toml", include_str!("../../mutants/transport.toml")),
    ("issuing.toml", include_str!("../../mutants/issuing.toml")),
    ("profile.toml", include_str!("../../mutants/profile.toml")),
    ("names.toml", include_str!("../../mutants/names.toml")),
];

/// One step of verification, and how it is taken out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    /// What isn't verified any more.
    pub(super) step: String,
    /// The file, from the workspace's root.
    pub(super) file: String,
    text: String,
    with: String,
    /// The packages whose tests are to miss it.
    #[serde(default = "usual")]
    pub(super) packages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mutant: Vec<Mutant>,
}

fn usual() -> Vec<String> {
    ["picket-identity", "picket-issuing"].map(str::to_owned).to_vec()
}

/// All of them.
pub(super) fn read() -> anyhow::Result<Vec<Mutant>> {
    let mut all = Vec::new();
    for (name, text) in FILES {
        let file: File = toml::from_str(text).with_context(|| format!("xtask/mutants/{name}"))?;
        all.extend(file.mutant);
    }
    Ok(all)
}

/// The sets of packages that they name.
pub(super) fn packages(mutants: &[&Mutant]) -> Vec<Vec<String>> {
    let mut sets: Vec<_> = mutants.iter().map(|mutant| mutant.packages.clone()).collect();
    sets.sort();
    sets.dedup();
    sets
}

impl Mutant {
    pub(super) fn matches(&self, filters: &[String]) -> bool {
        let is_in = |filter: &String| self.step.contains(filter) || self.file.contains(filter);
        filters.is_empty() || filters.iter().any(is_in)
    }

    /// The file without what all have in common.
    pub(super) fn short_file(&self) -> String {
        self.file.replace("/src/", "/")
    }

    /// The file's text without the step.
    pub(super) fn apply(&self, original: &str) -> anyhow::Result<String> {
        let found = original.matches(&self.text).count();
        if found != 1 || self.text == self.with {
            bail!(
                "mutant `{}`: its text stands {found} times in {}, expected once; change it in xtask/mutants/ with the code",
                self.step,
                self.file
            );
        }
        Ok(original.replacen(&self.text, &self.with, 1))
    }

    /// Sees that the text is there.
    pub(super) fn check(&self, root: &Path) -> anyhow::Result<()> {
        let path = root.join(&self.file);
        let original = std::fs::read_to_string(&path)
            .with_context(|| format!("mutant `{}`: can't read {}", self.step, path.display()))?;
        self.apply(&original).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cargo;

    /// Files of `identity/` in which nothing is verified.
    const WITHOUT_STEPS: &[&str] = &[
        "identity/src/lib.rs",
        "identity/src/pem.rs",
        "identity/src/connect/once.rs",
        "identity/src/enrollment.rs",
        "identity/src/serve.rs",
        "identity/src/serve/observer.rs",
        "identity/src/serve/routes.rs",
        "identity/src/spiffe/tests.rs",
        "identity/src/tls/throwaway.rs",
        "identity/src/verify/refusal.rs",
        "identity/src/verify/verified.rs",
    ];

    #[test]
    fn every_text_stands_exactly_once_where_it_is_said_to() {
        let problems: Vec<_> = read()
            .unwrap()
            .iter()
            .filter_map(|mutant| mutant.check(&cargo::root()).err())
            .map(|error| format!("{error:#}"))
            .collect();
        assert!(problems.is_empty(), "{problems:#?}");
    }

    #[test]
    fn no_step_is_listed_twice() {
        let all = read().unwrap();
        let steps: BTreeSet<_> = all.iter().map(|mutant| &mutant.step).collect();
        assert_eq!(steps.len(), all.len());
    }

    /// A new file of the identity crate gets its mutants, or a place among those that need none.
    #[test]
    fn every_file_of_the_identity_crate_is_thought_of() {
        let all = read().unwrap();
        let mut expected = BTreeSet::new();
        sources(&cargo::root().join("identity/src"), &mut expected);
        let listed: BTreeSet<String> = all
            .iter()
            .map(|mutant| mutant.file.clone())
            .filter(|file| file.starts_with("identity/"))
            .chain(WITHOUT_STEPS.iter().map(|file| (*file).to_owned()))
            .collect();
        assert_eq!(listed, expected);
    }

    fn sources(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                let file = path.strip_prefix(cargo::root()).unwrap();
                found.insert(file.to_str().unwrap().to_owned());
            }
        }
    }
}
