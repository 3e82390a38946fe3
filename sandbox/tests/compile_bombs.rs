//! Files that pass inspection, for every count in them is one that an honest checker could have, and that cost a compiler
//! dearly.
//!
//! What compiling each costs in this process, without a limit (debug build with an optimised cranelift, one busy core):
//! see [`BOMBS`].

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

use picket_forged::bombs::BOMBS;
use picket_sandbox::component::inspect::{MAX_BYTES, inspect};

/// If inspection refused one, it would be no test of the compiler's limits any more.
#[test]
fn every_bomb_passes_inspection() {
    for (name, make) in BOMBS {
        let bytes = make();
        assert!(bytes.len() as u64 <= MAX_BYTES, "{name}: {} bytes", bytes.len());
        inspect(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
