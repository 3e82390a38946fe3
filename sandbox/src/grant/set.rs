//! All grants of one check, and the questions that the host asks of them.

use std::net::IpAddr;
use std::path::Path;

use super::address::{canonical, special};
use super::{Denied, FactKind, Grant, GrantError, Protocol, Target};

/// All grants of one check. Empty means: nothing is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantSet {
    grants: Vec<Grant>,
    is_learning: bool,
}

impl FromIterator<Grant> for GrantSet {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self {
            grants: grants.into_iter().collect(),
            is_learning: false,
        }
    }
}

impl GrantSet {
    /// Parses an `allow` list.
    ///
    /// # Errors
    /// Every line that isn't a grant.
    pub fn parse<S: AsRef<str>>(lines: &[S]) -> Result<Self, Vec<GrantError>> {
        let mut errors = Vec::new();
        let mut grants = Vec::new();
        for line in lines {
            match line.as_ref().parse() {
                Ok(grant) => grants.push(grant),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(grants.into_iter().collect())
        } else {
            Err(errors)
        }
    }

    /// The same grants for a run that is to show what it needs: it may reach what it asks for, within bounds, and what it used
    /// beyond these grants is told afterwards. Only ever for a run that a person started and waits for.
    #[must_use]
    pub fn learning(self) -> Self {
        Self {
            is_learning: true,
            ..self
        }
    }

    /// Whether a run with these grants learns.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.is_learning
    }

    /// The grants, in order.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether a name or address may be reached, before anything is resolved. For an address this is the whole answer.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_target(&self, protocol: Protocol, target: &Target, port: u16) -> Result<(), Denied> {
        match target {
            Target::Name(name) => self.allows_name(protocol, name, port),
            Target::Address(address) => self.allows_address(protocol, *address, port),
        }
    }

    /// Whether a name may be resolved in order to be reached. Each address must be asked for with
    /// [`allows_resolved`](Self::allows_resolved) afterwards.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_name(&self, protocol: Protocol, name: &str, port: u16) -> Result<(), Denied> {
        let name = without_final_dot(name);
        let allowed = self.grants.iter().any(|grant| {
            matches!(grant, Grant::Network { protocol: own, host, ports }
                if *own == protocol && ports.contains(port) && host.covers_name(&name))
        });
        if allowed {
            Ok(())
        } else {
            Err(Denied::network(protocol, &Target::Name(name), port))
        }
    }

    /// Whether an address that a checker named itself may be reached.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_address(&self, protocol: Protocol, address: IpAddr, port: u16) -> Result<(), Denied> {
        let address = canonical(address);
        if self.names_address(protocol, address, port) {
            return Ok(());
        }
        Err(match special(address) {
            Some(range) => Denied::special(protocol, None, address, port, range),
            None => Denied::network(protocol, &Target::Address(address), port),
        })
    }

    /// Whether an address that `name` resolved to may be reached.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_resolved(
        &self,
        protocol: Protocol,
        name: &str,
        address: IpAddr,
        port: u16,
    ) -> Result<(), Denied> {
        self.allows_name(protocol, name, port)?;
        let address = canonical(address);
        match special(address) {
            Some(range) if !self.names_address(protocol, address, port) => Err(Denied::special(
                protocol,
                Some(&without_final_dot(name)),
                address,
                port,
                range,
            )),
            _ => Ok(()),
        }
    }

    fn names_address(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        self.grants.iter().any(|grant| {
            matches!(grant, Grant::Network { protocol: own, host, ports }
                if *own == protocol && ports.contains(port) && host.covers_address(address))
        })
    }

    /// Whether the addresses of a name may be looked up for sockets: some `tcp` or `udp` grant covers it.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_lookup(&self, name: &str) -> Result<(), Denied> {
        let name = without_final_dot(name);
        let allowed = self.grants.iter().any(|grant| {
            matches!(grant, Grant::Network { protocol: Protocol::Tcp | Protocol::Udp, host, .. }
                if host.covers_name(&name))
        });
        if allowed {
            Ok(())
        } else {
            Err(Denied::lookup(&name))
        }
    }

    /// Whether some grant of this protocol exists at all.
    #[must_use]
    pub fn any_of(&self, protocol: Protocol) -> bool {
        self.grants
            .iter()
            .any(|grant| matches!(grant, Grant::Network { protocol: own, .. } if *own == protocol))
    }

    /// Whether a name or address may be pinged, before anything is resolved.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_icmp(&self, target: &Target) -> Result<(), Denied> {
        match target {
            Target::Name(name) => {
                let allowed = self.icmp_hosts().any(|host| host.covers_name(name));
                if allowed {
                    Ok(())
                } else {
                    Err(Denied::icmp(target))
                }
            }
            Target::Address(address) => {
                if self.icmp_hosts().any(|host| host.covers_address(*address)) {
                    return Ok(());
                }
                Err(match special(*address) {
                    Some(range) => Denied::icmp_special(None, *address, range),
                    None => Denied::icmp(target),
                })
            }
        }
    }

    /// Whether an address that `name` resolved to may be pinged.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_icmp_resolved(&self, name: &str, address: IpAddr) -> Result<(), Denied> {
        self.allows_icmp(&Target::Name(without_final_dot(name)))?;
        let address = canonical(address);
        match special(address) {
            Some(range) if !self.icmp_hosts().any(|host| host.covers_address(address)) => {
                Err(Denied::icmp_special(Some(name), address, range))
            }
            _ => Ok(()),
        }
    }

    fn icmp_hosts(&self) -> impl Iterator<Item = &super::HostPattern> {
        self.grants.iter().filter_map(|grant| match grant {
            Grant::Icmp(host) => Some(host),
            _ => None,
        })
    }

    /// Whether facts of a kind may be read.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_facts(&self, kind: FactKind) -> Result<(), Denied> {
        self.has(Grant::HostFacts(kind))
    }

    /// Whether the host may use a secret for the checker.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_secret(&self, name: &str) -> Result<(), Denied> {
        self.has(Grant::SecretReveal(name.to_owned()))
            .or_else(|_| self.has(Grant::Secret(name.to_owned())))
    }

    /// Whether the checker may have a secret's bytes.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn allows_reveal(&self, name: &str) -> Result<(), Denied> {
        self.has(Grant::SecretReveal(name.to_owned()))
    }

    /// The paths that may be read.
    pub fn readable(&self) -> impl Iterator<Item = &Path> {
        self.grants.iter().filter_map(|grant| match grant {
            Grant::Read(path) => Some(path.as_path()),
            _ => None,
        })
    }

    fn has(&self, wanted: Grant) -> Result<(), Denied> {
        if self.grants.contains(&wanted) {
            Ok(())
        } else {
            Err(Denied::plain(wanted))
        }
    }

    /// Whether everything that `need` allows is allowed already: what lets a host name the missing lines before the
    /// first run. A need that is wider than every single grant is missing, even if several together would cover it.
    ///
    /// # Errors
    /// The refusal, with the line to add.
    pub fn satisfies(&self, need: &Grant) -> Result<(), Denied> {
        if self.grants.iter().any(|grant| grant.covers(need)) {
            Ok(())
        } else {
            Err(Denied::plain(need.clone()))
        }
    }
}

fn without_final_dot(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(lines: &[&str]) -> GrantSet {
        GrantSet::parse(lines).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let none = GrantSet::default();
        assert!(none.allows_name(Protocol::Tcp, "a.example", 80).is_err());
        assert!(none.allows_address(Protocol::Tcp, ip("10.0.0.1"), 80).is_err());
        assert!(none.allows_lookup("a.example").is_err());
        assert!(none.allows_icmp(&Target::Address(ip("10.0.0.1"))).is_err());
        assert!(none.allows_facts(FactKind::Cpu).is_err());
        assert!(none.allows_secret("a").is_err());
    }

    #[test]
    fn a_refusal_shows_the_line_to_add() {
        let denied = GrantSet::default()
            .allows_name(Protocol::Tcp, "DB.example.", 5432)
            .unwrap_err();
        assert!(
            denied.to_string().contains(r#"allow = ["tcp:db.example:5432"]"#),
            "{denied}"
        );
        let denied = GrantSet::default()
            .allows_address(Protocol::Http, ip("::1"), 80)
            .unwrap_err();
        assert!(
            denied.to_string().contains(r#"allow = ["http:[::1]:80"]"#),
            "{denied}"
        );
    }

    #[test]
    fn the_line_of_a_refusal_lifts_it() {
        let denied = GrantSet::default()
            .allows_address(Protocol::Udp, ip("169.254.169.254"), 80)
            .unwrap_err();
        let lifted: GrantSet = [denied.missing].into_iter().collect();
        lifted
            .allows_address(Protocol::Udp, ip("169.254.169.254"), 80)
            .unwrap();
    }

    #[test]
    fn a_protocol_port_or_host_that_differs_is_refused() {
        let grants = set(&["tcp:db.example:5432"]);
        grants.allows_name(Protocol::Tcp, "db.example", 5432).unwrap();
        assert!(grants.allows_name(Protocol::Udp, "db.example", 5432).is_err());
        assert!(grants.allows_name(Protocol::Tcp, "db.example", 5433).is_err());
        assert!(
            grants
                .allows_name(Protocol::Tcp, "db.example.evil", 5432)
                .is_err()
        );
    }

    #[test]
    fn a_name_that_resolves_into_the_machine_is_refused() {
        let grants = set(&["tcp:db.example:80"]);
        grants
            .allows_resolved(Protocol::Tcp, "db.example", ip("10.0.0.1"), 80)
            .unwrap();
        for special in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "::1",
            "0.0.0.0",
            "169.254.169.254",
            "fe80::1",
        ] {
            let denied = grants
                .allows_resolved(Protocol::Tcp, "db.example", ip(special), 80)
                .unwrap_err();
            assert!(denied.to_string().contains("db.example is at"), "{denied}");
        }
    }

    #[test]
    fn localhost_grants_loopback_by_name_and_by_address() {
        let grants = set(&["tcp:localhost:80"]);
        grants
            .allows_resolved(Protocol::Tcp, "localhost", ip("127.0.0.1"), 80)
            .unwrap();
        grants.allows_address(Protocol::Tcp, ip("::1"), 80).unwrap();
        assert!(grants.allows_address(Protocol::Tcp, ip("0.0.0.0"), 80).is_err());
        assert!(grants.allows_address(Protocol::Tcp, ip("127.0.0.1"), 81).is_err());
    }

    #[test]
    fn a_name_grant_does_not_grant_addresses() {
        assert!(
            set(&["tcp:db.example:80"])
                .allows_address(Protocol::Tcp, ip("10.0.0.1"), 80)
                .is_err()
        );
        assert!(
            set(&["tcp:*.example:80"])
                .allows_address(Protocol::Tcp, ip("10.0.0.1"), 80)
                .is_err()
        );
    }

    #[test]
    fn reveal_includes_use_but_not_the_reverse() {
        set(&["secret-reveal:a"]).allows_secret("a").unwrap();
        assert!(set(&["secret:a"]).allows_reveal("a").is_err());
    }

    #[test]
    fn a_lookup_needs_a_socket_grant_that_covers_the_name() {
        set(&["udp:ns.example:53"]).allows_lookup("ns.example").unwrap();
        assert!(set(&["http:a.example:80"]).allows_lookup("a.example").is_err());
        assert!(set(&["tcp:10.0.0.0/8:80"]).allows_lookup("a.example").is_err());
    }

    proptest! {
        #[test]
        fn no_wildcard_ever_reaches_a_special_address(bits: u32, port in 1u16..) {
            let address = IpAddr::V4(bits.into());
            let grants = set(&["tcp:*:*", "tcp:0.0.0.0/0:*", "tcp:[::/0]:*"]);
            let allowed = grants.allows_address(Protocol::Tcp, address, port).is_ok();
            prop_assert_eq!(allowed, special(address).is_none());
            let resolved = grants.allows_resolved(Protocol::Tcp, "a.example", address, port).is_ok();
            prop_assert_eq!(resolved, special(address).is_none());
        }

        #[test]
        fn every_numeric_spelling_of_an_address_is_judged_alike(bits: u32, port in 1u16..) {
            let address = std::net::Ipv4Addr::from(bits);
            let grants = set(&["tcp:*:*"]);
            let wanted = grants.allows_address(Protocol::Tcp, address.into(), port).is_ok();
            let [a, b, c, d] = address.octets();
            let spellings = [
                format!("{bits}"),
                format!("{bits:#x}"),
                format!("0{bits:o}"),
                format!("{a:#x}.{b}.0{c:o}.{d}"),
                format!("{a}.{}", bits & 0xff_ffff),
                format!("[::ffff:{address}]"),
                format!("::ffff:{:x}:{:x}", bits >> 16, bits & 0xffff),
            ];
            for spelling in spellings {
                let target = Target::parse(&spelling).unwrap();
                prop_assert_eq!(&target, &Target::Address(address.into()), "{}", spelling);
                prop_assert_eq!(grants.allows_target(Protocol::Tcp, &target, port).is_ok(), wanted);
            }
        }

        #[test]
        fn parsing_never_panics_and_what_parses_prints_itself(text in ".{0,40}") {
            if let Ok(grant) = text.parse::<Grant>() {
                prop_assert_eq!(grant.to_string().parse::<Grant>().unwrap(), grant);
            }
        }
    }
}
