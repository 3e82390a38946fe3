//! Names the contract of this line, and exports functions of other types.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({ path: "wit", world: "picket:checker/checker" });
}

struct Exported;

impl bindings::exports::picket::checker::check::Guest for Exported {
    fn describe() -> String {
        "a text in place of a record".to_owned()
    }

    fn run(times: u32) -> u32 {
        times
    }
}

bindings::export!(Exported with_types_in bindings);
