//! `gateway`: see `gateway --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    picket_gateway::cli::main()
}
