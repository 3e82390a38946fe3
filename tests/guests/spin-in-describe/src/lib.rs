//! Computes for ever when it is asked what it is, and what it needs.

#![cfg(target_family = "wasm")]

use guest_kit::{Descriptor, Error, Guest, Need, Report, Request, ok};

struct Exported;

fn spin() -> ! {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

impl Guest for Exported {
    fn describe() -> Descriptor {
        spin()
    }

    fn needs(_config: String) -> Result<Vec<Need>, Error> {
        spin()
    }

    fn run(_request: Request) -> Result<Report, Error> {
        Ok(ok("the run itself is honest"))
    }
}

guest_kit::export!(Exported with_types_in guest_kit);
