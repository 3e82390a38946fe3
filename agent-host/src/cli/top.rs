//! `agent-host top`: what the running agent's checks cost.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::AgentConfig;
use crate::control::client::Client;

mod screen;
mod table;

use screen::{Key, Screen};
use table::Sort;

/// How often the table is drawn again.
const REFRESH: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    /// What the most of comes first
    #[arg(long, value_enum, default_value_t = Sort::Cpu)]
    sort: Sort,
    /// One table, also on a terminal
    #[arg(long)]
    once: bool,
}

pub(super) async fn top(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let client = Client::new(&config.data_dir)?;
    if args.output.output == Format::Json {
        output::json(&client.top().await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_live = !args.once && io::stdout().is_terminal() && io::stdin().is_terminal();
    if !is_live {
        output::line(table::render(&client.top().await?, args.sort, usize::MAX).join("\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    follow(&client, args.sort).await
}

async fn follow(client: &Client, sort: Sort) -> Result<ExitCode, CliError> {
    // Asked before the screen is taken: an agent that isn't there is told on an untouched one.
    let mut newest = client.top().await?;
    let mut screen = Screen::open()?;
    let mut refresh = tokio::time::interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.tick().await;
    loop {
        let (width, height) = screen.size();
        screen.draw(&table::render(&newest, sort, width), height)?;
        tokio::select! {
            _ = refresh.tick() => newest = client.top().await?,
            key = screen.key() => match key {
                Key::Quit => return Ok(ExitCode::SUCCESS),
                Key::Resized => {}
            },
        }
    }
}
