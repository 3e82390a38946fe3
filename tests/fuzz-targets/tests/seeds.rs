//! Every target over its seeds, and over some thousand changes of them that are the same each time.

#![expect(clippy::unwrap_used, reason = "these are tests, and their tools")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use picket_fuzz_targets::TARGETS;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const CHANGES: usize = 4_000;
/// Longer seeds are changed too, but not grown.
const LONGEST: usize = 64 << 10;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(fuzz_folder().join("corpus").join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // The folder's order differs from machine to machine.
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn change(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..8) {
        if bytes.is_empty() {
            bytes.push(random.random());
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..7) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)],
            3 => bytes.truncate(at),
            4 => drop(bytes.remove(at)),
            5 => {
                let length = random.random_range(1..=32).min(bytes.len() - at);
                let copy = bytes[at..at + length].to_vec();
                if bytes.len() < LONGEST {
                    bytes.splice(at..at, copy);
                }
            }
            _ => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..=other.len());
                let end = bytes.len().min(at + other.len() - from);
                bytes.splice(at..end, other[from..].iter().copied());
            }
        }
    }
    bytes
}

fn try_out(name: &str) {
    let (_, target) = TARGETS.iter().find(|(own, _)| *own == name).unwrap();
    let seeds = seeds(name);
    for seed in &seeds {
        target(seed);
    }
    target(&[]);
    let mut random = StdRng::seed_from_u64(0x7069_636b_6574);
    for _ in 0..CHANGES {
        target(&change(&mut random, &seeds));
    }
}

#[test]
fn component_stands_its_seeds_and_their_changes() {
    try_out("component");
}

#[test]
fn config_stands_its_seeds_and_their_changes() {
    try_out("config");
}

#[test]
fn csr_stands_its_seeds_and_their_changes() {
    try_out("csr");
}

#[test]
fn enrollment_stands_its_seeds_and_their_changes() {
    try_out("enrollment");
}

#[test]
fn grant_stands_its_seeds_and_their_changes() {
    try_out("grant");
}

#[test]
fn leaf_stands_its_seeds_and_their_changes() {
    try_out("leaf");
}

#[test]
fn nagios_stands_its_seeds_and_their_changes() {
    try_out("nagios");
}

#[test]
fn report_stands_its_seeds_and_their_changes() {
    try_out("report");
}

#[test]
fn signature_stands_its_seeds_and_their_changes() {
    try_out("signature");
}

#[test]
fn spiffe_stands_its_seeds_and_their_changes() {
    try_out("spiffe");
}

#[test]
fn spool_stands_its_seeds_and_their_changes() {
    try_out("spool");
}

/// A target without seeds, without a shim, or without a test above would be one in name only.
#[test]
fn every_target_has_seeds_a_shim_and_a_test() {
    let names = |folder: &str| -> BTreeSet<String> {
        fs::read_dir(fuzz_folder().join(folder))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                path.file_stem().unwrap().to_str().unwrap().to_owned()
            })
            .collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
    let (manifest, tests) = (
        fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap(),
        include_str!("seeds.rs"),
    );
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        assert!(tests.contains(&format!("try_out(\"{target}\")")), "{target}");
    }
}
