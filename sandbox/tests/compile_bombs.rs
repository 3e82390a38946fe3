//! Files that pass inspection, for every count in them is one that an honest checker could have, and that cost a compiler
//! dearly.
//!
//! What compiling each took in a process without limits (a debug build, with cranelift optimised as in `Cargo.toml`; CPU
//! time, stopped after 25 to 40 s of it, and resident memory, with an address space that ended at 5 GB):
//!
//! | bomb | file | CPU | memory |
//! |---|---|---|---|
//! | many-functions | 66 MB | more than 24 s | more than 750 MiB |
//! | nested-blocks | 7.7 MB | more than 38 s | 1.1 GiB |
//! | locals-and-loops | 7.7 MB | 22 s, then out of memory, which aborts the process | 3 GiB |
//! | wide-signatures | 14 MB | more than 24 s | 200 MiB |
//! | full-table | 10 MB | 9 s, then out of memory, which aborts the process | 4 GiB |

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
