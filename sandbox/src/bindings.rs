//! Generated from `wit/`, and nothing else: this module dominates rebuilds.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code; not every lint fires in every version of the generator"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "picket:checker/checker",
    imports: {
        "picket:checker/state": async,
        "picket:checker/secret": async,
        "picket:checker/icmp": async,
        "picket:checker/http": async,
        "picket:checker/tls": async,
        "picket:checker/host-facts": async,
    },
    exports: { default: async },
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
    },
    require_store_data_send: true,
});
