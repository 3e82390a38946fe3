//! Built for a later version of this line, with a function that this host lacks.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({ path: "../kit/wit-0.1.9", world: "picket:checker/checker" });
}

use bindings::exports::picket::checker::check::{Descriptor, Error, Guest, Need, Report, Request};
use bindings::picket::checker::state;
use bindings::picket::checker::types::Status;

struct Exported;

impl Guest for Exported {
    fn describe() -> Descriptor {
        Descriptor {
            name: "guest".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "a guest of a later version".to_owned(),
            config_schema: r#"{"type":"object"}"#.to_owned(),
            default_interval_ms: 10_000,
            default_timeout_ms: 1_000,
            extra: Vec::new(),
        }
    }

    fn needs(_config: String) -> Result<Vec<Need>, Error> {
        Ok(Vec::new())
    }

    fn run(_request: Request) -> Result<Report, Error> {
        Ok(Report {
            status: Status::Ok,
            summary: format!("keys: {:?}", state::keys()),
            details: None,
            metrics: Vec::new(),
            labels: Vec::new(),
            evidence: Vec::new(),
            extra: Vec::new(),
        })
    }
}

bindings::export!(Exported with_types_in bindings);
