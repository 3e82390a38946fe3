//! The whole road on one machine: a platform, a gateway and two tenants' agents, as real processes over real mutual TLS.
//!
//! `cargo xtask demo` builds this and becomes it. [`scene`] has what is started, [`verdict`] what `--check` waits for.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod checks;
mod scene;
mod verdict;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "picket-demo", about = "Picket on one machine")]
struct Arguments {
    /// Run unattended: wait for every result, show that tenants are kept apart, print a table, and end
    #[arg(long)]
    check: bool,
    /// The port of the web pages; any free one where it is taken
    #[arg(long, default_value_t = 8443)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut ended = ended()?;
    let started = std::time::Instant::now();
    let mut scene = tokio::select! {
        scene = scene::Scene::start(arguments.port) => scene?,
        () = ended.recv() => return Ok(()),
    };
    println!("Picket runs, after {:.1} s:\n", started.elapsed().as_secs_f64());
    println!("  pages      https://{}/", scene.platform.api.address());
    println!("  password   {}   (once)", scene.sign_in_token);
    println!("  API token  {}", scene.installation.token());
    println!("  root       {}", scene.installation.root().display());
    println!("  folder     {}\n", scene.installation.folder().display());

    if arguments.check {
        let outcome = tokio::select! {
            outcome = verdict::check(&mut scene) => outcome,
            () = ended.recv() => return Ok(()),
        };
        let processes = scene.processes();
        drop(scene);
        outcome?;
        return verdict::nothing_is_left(&processes);
    }
    println!("Ctrl-C ends all of it.");
    ended.recv().await;
    println!("\nEnding.");
    Ok(())
}

/// Ctrl-C, or a supervisor's SIGTERM.
struct Ended {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

fn ended() -> anyhow::Result<Ended> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Ended {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

impl Ended {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
