//! A component that is no checker: it exports an interface of its own.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({ path: "wit", world: "other:tool/tool" });
}

struct Exported;

impl bindings::exports::other::tool::convert::Guest for Exported {
    fn convert(text: String) -> String {
        text.to_uppercase()
    }
}

bindings::export!(Exported with_types_in bindings);
