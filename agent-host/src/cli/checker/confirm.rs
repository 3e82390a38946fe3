//! Asks before something is done, where there is somebody to ask.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::cli::CliError;

/// Returns when it may be done: `--yes` was given, or a person at a terminal says so.
///
/// # Errors
/// Nobody is there, or they don't want it.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::Refused(format!(
            "{question} There is no terminal to ask on: add --yes. Nothing was changed"
        )));
    }
    let mut talk = io::stderr().lock();
    write!(talk, "{question} [y/N] ")?;
    talk.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(CliError::Refused("nothing was changed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_needs_no_terminal() {
        confirm("Do it?", true).unwrap();
    }
}
