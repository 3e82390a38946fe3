//! `cargo xtask`: what a fresh machine needs, in two commands (`demo` and `test`) and a few that they are made of.
//!
//! - `setup`: the compiler target and the system packages, installed where that is possible, else named;
//! - `guests`: checkers and the tests' guests, compiled to WebAssembly; `commands`: programs that are run as checkers;
//! - `lint`: format, lints, dependencies;
//! - `test`, `demo`, `bench`, `fuzz`: what their names say; `limbo`: path building, beside x509-limbo's test vectors;
//! - `mutants`: which test misses which step of verification.

mod bench;
mod cargo;
mod commands;
mod demo;
mod fuzz;
mod guests;
mod limbo;
mod lint;
mod mutants;
mod programs;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, shows, tests and measures Picket")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything, starts a platform, a gateway and two tenants' agents here, and prints the address to open
    Demo(demo::Arguments),
    /// Runs every check and every test
    Test(test::Arguments),
    /// Checks format, lints and dependencies
    Lint,
    /// Compiles the checkers, the test guests and the example commands to WebAssembly
    Checkers,
    /// Measures, and prints a table
    Bench(bench::Arguments),
    /// Runs one fuzz target with libFuzzer
    Fuzz(fuzz::Arguments),
    /// Compares path building with x509-limbo's test vectors
    Limbo(limbo::Arguments),
    /// Removes each step of verification in turn, and sees that a test fails
    MutantsIdentity(mutants::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Lint => lint::run(),
        Command::Checkers => {
            guests::build()?;
            commands::build().map(|_| ())
        }
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Limbo(arguments) => limbo::run(&arguments),
        Command::MutantsIdentity(arguments) => mutants::run(&arguments),
    }
}
