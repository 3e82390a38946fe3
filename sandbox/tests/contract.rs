//! The contract in `wit/` doesn't drift from what was released.

#![expect(clippy::unwrap_used, reason = "these are tests, and their tools")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The versions that were released: `wit/frozen/` must have them for ever.
const RELEASED: [&str; 1] = ["0.1.0"];

fn contract(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "wit"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn version(contract: &BTreeMap<String, String>) -> String {
    let lines = contract.values().flat_map(|text| text.lines());
    let versions: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("package picket:checker@"))
        .collect();
    assert!(
        versions.windows(2).all(|pair| pair[0] == pair[1]),
        "one version everywhere: {versions:?}"
    );
    versions[0].trim_end_matches(';').to_owned()
}

#[test]
fn a_released_version_is_not_edited() {
    let wit = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"));
    let current = contract(wit);
    // With the folder gone, nothing would be compared.
    for released in RELEASED {
        assert_eq!(version(&contract(&wit.join("frozen").join(released))), released);
    }
    let frozen = wit.join("frozen").join(version(&current));
    // A version that isn't frozen yet is one in the making.
    if frozen.exists() {
        assert_eq!(
            contract(&frozen),
            current,
            "wit/ differs from {}; see wit/README.md",
            frozen.display()
        );
    }
}

#[test]
fn the_host_offers_the_version_that_wit_has() {
    let wit = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"));
    assert_eq!(
        version(&contract(wit)),
        picket_sandbox::component::inspect::CONTRACT
    );
}
