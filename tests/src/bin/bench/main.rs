//! Measurements, each beside a peer or a limit in the same run.
//!
//! `cargo xtask bench NAME` builds this optimised and runs it. CPU is what the kernel accounts to a process, which
//! holds on a busy machine too; times of the clock are medians of several runs.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod identity;
mod process;
mod rows;
mod sandbox;
mod skeleton;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

#[derive(Parser)]
#[command(name = "picket-bench", about = "Measures Picket")]
struct Arguments {
    /// What to measure
    name: Name,
    /// Print one line of JSON in place of the table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// A check, a poll, an idle agent, a start: the whole road
    Skeleton,
    /// A check in the sandbox, beside the same without one and beside a process
    Sandbox,
    /// A handshake with our verifiers, beside one with rustls's own
    Identity,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = match arguments.name {
        Name::Skeleton => skeleton::measure().await,
        Name::Sandbox => sandbox::measure().await,
        Name::Identity => identity::measure(),
    };
    match measured {
        Ok(rows) if arguments.json => println!("{}", rows::json(&rows)),
        Ok(rows) => rows::print(&rows),
        Err(error) => {
            eprintln!("bench: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
