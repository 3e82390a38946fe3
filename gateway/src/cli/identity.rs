//! `gateway identity`: what the verifier of the handshake says of files, for people and for tests. Needs no configuration.

use clap::Subcommand;

use super::exit::Failed;

mod certificates;
mod expected;
mod parse_id;
mod verify;

#[derive(Debug, Subcommand)]
pub(super) enum IdentityCommand {
    /// Say whether a peer that sends these certificates would be accepted; exit code 77 if not.
    Verify(Box<verify::VerifyArgs>),
    /// Say of each text whether it is an identity of Picket's.
    ParseId(parse_id::ParseIdArgs),
}

pub(super) fn run(command: &IdentityCommand) -> Result<(), Failed> {
    match command {
        IdentityCommand::Verify(args) => verify::verify(args),
        IdentityCommand::ParseId(args) => parse_id::parse_id(args),
    }
}
