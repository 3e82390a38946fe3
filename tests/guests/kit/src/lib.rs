//! What hostile guests share. They use the contract's bindings directly, because an SDK would make them behave.

#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "picket:checker/checker",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "guest_kit",
        generate_all,
    });
}

mod of_wasi {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({
        inline: "
            package guest:kit;
            world wasi {
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:clocks/wall-clock@0.2.12;
                import wasi:filesystem/preopens@0.2.12;
                import wasi:filesystem/types@0.2.12;
                import wasi:io/poll@0.2.12;
                import wasi:random/random@0.2.12;
                import wasi:sockets/instance-network@0.2.12;
                import wasi:sockets/ip-name-lookup@0.2.12;
                import wasi:sockets/tcp-create-socket@0.2.12;
            }
        ",
        path: "../../../wit",
        world: "guest:kit/wasi",
        generate_all,
    });
}

pub use bindings::exports::picket::checker::check::{Descriptor, Error, Guest, Need, Report, Request};
pub use bindings::picket::checker as wit;
pub use bindings::*;
/// WASI without a standard library in between.
pub use of_wasi::wasi;

use bindings::picket::checker::types::{ErrorKind, Metric, Status};

/// A report that says so.
pub fn ok(summary: &str) -> Report {
    Report {
        status: Status::Ok,
        summary: summary.to_owned(),
        details: None,
        metrics: Vec::new(),
        labels: Vec::new(),
        evidence: Vec::new(),
        extra: Vec::new(),
    }
}

/// A gauge without anything.
pub fn metric(name: &str, value: f64) -> Metric {
    Metric {
        name: name.to_owned(),
        value,
        unit: "1".to_owned(),
        counter: false,
        warning: None,
        critical: None,
        min: None,
        max: None,
        labels: Vec::new(),
    }
}

/// An error of the guest's own.
pub fn failed(error: &dyn std::fmt::Display) -> Error {
    Error {
        kind: ErrorKind::Failed,
        message: error.to_string(),
    }
}

/// All numbers in the configuration, in order: a bare number, or the values of a JSON object.
pub fn numbers(config: &str) -> Vec<u64> {
    config
        .split(|char: char| !char.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// The first number in the configuration.
pub fn number(config: &str) -> Option<u64> {
    numbers(config).first().copied()
}

/// What every guest says of itself.
pub fn descriptor() -> Descriptor {
    Descriptor {
        name: "guest".to_owned(),
        version: "0.1.0".to_owned(),
        summary: "a guest of the sandbox's tests".to_owned(),
        config_schema: r#"{"type":"object"}"#.to_owned(),
        default_interval_ms: 10_000,
        default_timeout_ms: 1_000,
        extra: Vec::new(),
    }
}

/// Exports a function as a checker's `run`.
#[macro_export]
macro_rules! guest {
    ($run:path) => {
        $crate::guest!($run, needs: []);
    };
    ($run:path, needs: [$($need:expr),*]) => {
        struct Exported;

        impl $crate::Guest for Exported {
            fn describe() -> $crate::Descriptor {
                $crate::descriptor()
            }

            fn needs(_config: String) -> Result<Vec<$crate::Need>, $crate::Error> {
                Ok(vec![$($crate::Need { grant: $need.to_owned(), reason: "because".to_owned() }),*])
            }

            fn run(request: $crate::Request) -> Result<$crate::Report, $crate::Error> {
                $run(&request)
            }
        }

        $crate::export!(Exported with_types_in $crate);
    };
}
