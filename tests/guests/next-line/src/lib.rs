//! Built for the next line of the contract, 0.2.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({ path: "wit", world: "picket:checker/checker" });
}

struct Exported;

impl bindings::exports::picket::checker::check::Guest for Exported {
    fn run() -> String {
        bindings::picket::checker::log::log("a line for the next line");
        "from the next line".to_owned()
    }
}

bindings::export!(Exported with_types_in bindings);
