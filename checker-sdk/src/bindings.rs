//! The contract as generated code: every host interface a checker may import, and the exports it makes.
//!
//! All of it is one world, so that `picket:checker/tls` and `wasi:sockets` speak of the same streams. A component
//! carries only the imports that its code reaches: whoever never opens a socket has no socket to import.
//!
//! Authors use the typed layer above it; this module is public for `#[checker]` and for those who need the bare ABI.

wit_bindgen::generate!({
    path: "../wit",
    inline: "
        package picket:sdk;

        world sdk {
            include picket:checker/checker@0.1.0;
            import wasi:clocks/monotonic-clock@0.2.12;
            import wasi:clocks/wall-clock@0.2.12;
            import wasi:random/random@0.2.12;
            import wasi:io/poll@0.2.12;
            import wasi:io/streams@0.2.12;
            import wasi:sockets/instance-network@0.2.12;
            import wasi:sockets/ip-name-lookup@0.2.12;
            import wasi:sockets/tcp@0.2.12;
            import wasi:sockets/tcp-create-socket@0.2.12;
            import wasi:sockets/udp@0.2.12;
            import wasi:sockets/udp-create-socket@0.2.12;
        }
    ",
    world: "picket:sdk/sdk",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "picket_checker_sdk::bindings",
});
