//! Compares the verifier's path building with x509-limbo's test vectors (`cargo xtask limbo PATH`), and sees that none of
//! their leaves passes as an identity. The vectors are no part of Picket: whoever has `limbo.json` gives its path.
//!
//! - [`case`]: one test case, as far as it is needed here;
//! - [`divergences`]: where we decide otherwise, and why;
//! - [`strangers`]: every face of the verifier, before a leaf that isn't ours.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod case;
mod divergences;
mod strangers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use picket_identity::verify;

use strangers::Strangers;

/// Far more than any of them takes: a path that is searched for without a bound takes minutes.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(name = "picket-limbo", about = "Compares path building with x509-limbo")]
struct Arguments {
    /// x509-limbo's limbo.json
    vectors: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("limbo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How the cases of one group went.
#[derive(Default)]
struct Group {
    agreed: u32,
    diverged: Vec<String>,
}

/// Whether everything is as it is known to be.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let shown = arguments.vectors.display();
    let text = std::fs::read_to_string(&arguments.vectors).with_context(|| format!("can't read {shown}"))?;
    let cases = case::read(&text).with_context(|| format!("{shown} isn't x509-limbo's limbo.json"))?;
    let now = verify::now();
    let strangers = Strangers::new(now)?;
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let (mut problems, mut wrong_shape, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    for case in &cases {
        let began = Instant::now();
        let found = case.path(now);
        slowest = slowest.max(began.elapsed());
        wrong_shape += u32::from(found.as_ref().is_ok_and(|&between| between != 1));
        problems.extend(
            strangers
                .problem(case, now)
                .map(|said| format!("{}: {said}", case.id)),
        );

        let group = groups.entry(case.group().to_owned()).or_default();
        let known = divergences::of(&case.id);
        match (found.is_ok() == case.is_good, known) {
            (true, None) => group.agreed += 1,
            (true, Some(_)) => problems.push(format!("{}: agrees, and is listed as a divergence", case.id)),
            (false, known) => {
                let outcome = match &found {
                    Ok(_) => "there is a path".to_owned(),
                    Err(error) => error.split([' ', '(']).next().unwrap_or_default().to_owned(),
                };
                let why = known.unwrap_or("not listed as a divergence");
                if known.is_none() {
                    problems.push(format!("{}: {outcome}; {why}", case.id));
                }
                group.diverged.push(format!("{} ({outcome}): {why}", case.id));
            }
        }
    }
    println!("{:<24} {:>8} {:>8}", "GROUP", "AGREE", "DIVERGE");
    for (name, group) in &groups {
        println!("{name:<24} {:>8} {:>8}", group.agreed, group.diverged.len());
    }
    println!();
    for line in groups.values().flat_map(|group| &group.diverged) {
        println!("{line}");
    }
    println!(
        "\n{} cases, the slowest in {slowest:?}; {wrong_shape} of the paths aren't leaf, CA, root, and are refused for that. \
         No leaf passes as an identity: {strangers}",
        cases.len()
    );
    if slowest > LONGEST {
        problems.push(format!("a path took {slowest:?}: expected at most {LONGEST:?}"));
    }
    for problem in &problems {
        eprintln!("limbo: {problem}");
    }
    Ok(problems.is_empty())
}
