//! Removes the steps of verification one by one, and sees that a test fails each time.
//!
//! The steps are listed in `xtask/mutants/*.toml`: which text is taken out, and what stands there instead. They are applied to
//! a copy of the workspace, with a build folder of its own. A text that isn't found exactly once is an error, also in every
//! test run: whoever changes the code changes the list.
//!
//! - [`list`]: the mutants; - [`copy`]: the workspace's copy; - [`trial`]: one mutant, built and tested.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod copy;
mod list;
mod trial;

use anyhow::bail;

use crate::cargo;
use copy::Copy;
use trial::Outcome;

/// Which mutants.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only those whose step or file contains this
    filter: Option<String>,
}

/// Tries all of them and prints a table, which `docs/identity.md` has.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let all = list::read()?;
    let chosen: Vec<_> = all
        .iter()
        .filter(|mutant| mutant.matches(arguments.filter.as_deref()))
        .collect();
    if chosen.is_empty() {
        bail!("no step and no file contains that");
    }
    let root = cargo::root();
    for mutant in &chosen {
        mutant.check(&root)?;
    }
    let copy = Copy::make(&root, &cargo::target_dir()?.join("mutants"))?;
    for packages in list::packages(&chosen) {
        if let Outcome::Killed(test) = trial::tests(&copy, &packages)? {
            bail!("{test} fails without any mutant: mend that first");
        }
    }
    println!("| without this step | in | fails |\n|---|---|---|");
    let mut wrong = 0;
    for mutant in &chosen {
        let outcome = match trial::of(&copy, mutant) {
            Ok(outcome) => outcome,
            // The others are tried all the same.
            Err(error) => {
                eprintln!("xtask: {error:#}");
                wrong += 1;
                continue;
            }
        };
        wrong += u32::from(!matches!(outcome, Outcome::Killed(_)));
        println!("| {} | `{}` | {outcome} |", mutant.step, mutant.short_file());
    }
    println!("\n{} steps, {wrong} of which no test misses", chosen.len());
    if wrong > 0 {
        bail!("{wrong} of {} mutants weren't killed", chosen.len());
    }
    Ok(())
}
