//! Of this line, but wants an interface that no host offers.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({ path: "wit", world: "picket:checker/checker" });
}

struct Exported;

impl bindings::exports::picket::checker::check::Guest for Exported {
    fn run() -> String {
        bindings::picket::checker::shell::execute("id")
    }
}

bindings::export!(Exported with_types_in bindings);
