//! Built for a contract of the future.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({ path: "wit", world: "picket:checker/checker" });
}

struct Exported;

impl bindings::exports::picket::checker::check::Guest for Exported {
    fn run() -> String {
        "from the future".to_owned()
    }
}

bindings::export!(Exported with_types_in bindings);
