//! What a checker can't do, proved by what it doesn't import.

use picket_sandbox::component::Import;

/// What no checker can do, whatever it imports: there is no interface for it, or this host gives it nothing there.
pub(super) const NOBODY: &str = "start programs, listen on a port, write files, see this agent's environment";

/// What a component may be able to do, by the interfaces that it would have to import for it.
pub(super) struct Ability {
    pub(super) what: &'static str,
    interfaces: &'static [&'static str],
}

pub(super) const ABILITIES: &[Ability] = &[
    Ability {
        what: "send HTTP requests",
        interfaces: &["picket:checker/http@", "wasi:http/outgoing-handler@"],
    },
    Ability {
        what: "open TCP connections",
        interfaces: &["wasi:sockets/tcp@"],
    },
    Ability {
        what: "send UDP datagrams",
        interfaces: &["wasi:sockets/udp@"],
    },
    Ability {
        what: "look up names",
        interfaces: &["wasi:sockets/ip-name-lookup@"],
    },
    Ability {
        what: "speak TLS",
        interfaces: &["picket:checker/tls@"],
    },
    Ability {
        what: "ping",
        interfaces: &["picket:checker/icmp@"],
    },
    Ability {
        what: "read files",
        interfaces: &["wasi:filesystem/"],
    },
    Ability {
        what: "use secrets",
        interfaces: &[
            "picket:checker/secret@",
            "picket:checker/http@",
            "picket:checker/tls@",
        ],
    },
    Ability {
        what: "read facts about this machine",
        interfaces: &["picket:checker/host-facts@"],
    },
    Ability {
        what: "keep state between runs",
        interfaces: &["picket:checker/state@"],
    },
    Ability {
        what: "write to the agent's log",
        interfaces: &["picket:checker/log@"],
    },
    Ability {
        what: "tell the time",
        interfaces: &["wasi:clocks/"],
    },
    Ability {
        what: "draw random numbers",
        interfaces: &["wasi:random/"],
    },
];

impl Ability {
    pub(super) fn is_in(&self, imports: &[Import]) -> bool {
        imports.iter().any(|import| {
            self.interfaces
                .iter()
                .any(|interface| import.name.starts_with(interface))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way to send that isn't in the table would make the proof a false one.
    #[test]
    fn requests_can_be_sent_by_either_interface_and_by_no_other() {
        let sends = |name: &str| {
            let imports = [Import {
                name: name.to_owned(),
            }];
            ABILITIES[0].is_in(&imports)
        };
        assert_eq!(ABILITIES[0].what, "send HTTP requests");
        assert!(sends("picket:checker/http@0.1.0") && sends("wasi:http/outgoing-handler@0.2.3"));
        assert!(!sends("wasi:http/types@0.2.3") && !sends("wasi:sockets/tcp@0.2.3"));
    }
}
