//! Asks for a gibibyte of random bytes at once.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, ok};

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({
        inline: "package guest:random-flood; world flood { import wasi:random/random@0.2.12; }",
        path: "../../../wit",
        world: "guest:random-flood/flood",
        generate_all,
    });
}

fn run(_request: &Request) -> Result<Report, Error> {
    let bytes = bindings::wasi::random::random::get_random_bytes(1 << 30);
    Ok(ok(&format!("got {} bytes", bytes.len())))
}

guest_kit::guest!(run);
