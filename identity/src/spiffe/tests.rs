use super::*;

const AGENT: &str = "spiffe://acme.picket.example/agent/berlin-1";

#[test]
fn each_kind_of_identity_is_written_as_it_is_read() {
    for text in [
        AGENT,
        "spiffe://picket.example/gateway/gw-1",
        "spiffe://picket.example/gateway/gw-1/tenant/acme",
        "spiffe://picket.example/platform/node-1",
    ] {
        assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
    }
}

#[test]
fn an_agents_trust_domain_is_its_tenants() {
    let id: SpiffeId = AGENT.parse().unwrap();
    assert_eq!(id.trust_domain().as_str(), "acme.picket.example");
    assert_eq!(id.platform().as_str(), "picket.example");
    assert_eq!(id.tenant().unwrap().as_str(), "acme");
}

#[test]
fn an_agents_common_name_ends_with_its_tenant() {
    assert_eq!(AGENT.parse::<SpiffeId>().unwrap().common_name(), "berlin-1.acme");
}

#[test]
fn a_gateways_common_name_is_never_an_agents() {
    let gateway: SpiffeId = "spiffe://picket.example/gateway/gw-1".parse().unwrap();
    assert!(gateway.common_name().contains(':'));
}

#[test]
fn refuses_anything_but_the_one_spelling() {
    for text in [
        "SPIFFE://acme.picket.example/agent/berlin-1",
        "spiffe:acme.picket.example/agent/berlin-1",
        "https://acme.picket.example/agent/berlin-1",
        "spiffe://Acme.picket.example/agent/berlin-1",
        "spiffe://acme.picket.example/Agent/berlin-1",
        "spiffe://acme.picket.example/agent/Berlin-1",
        "spiffe://acme.picket.example/agent/../berlin-1",
        "spiffe://acme.picket.example/agent/..",
        "spiffe://acme.picket.example/agent/.",
        "spiffe://acme.picket.example//agent/berlin-1",
        "spiffe://acme.picket.example/agent//berlin-1",
        "spiffe://acme.picket.example/agent/berlin%2d1",
        "spiffe://acme.picket.example/agent/berlin-1\0",
        "spiffe://acme.picket.example\0.evil/agent/berlin-1",
        "spiffe://acme.picket.example:443/agent/berlin-1",
        "spiffe://user@acme.picket.example/agent/berlin-1",
        "spiffe://acme.picket.example/agent/berlin-1?x=1",
        "spiffe://acme.picket.example/agent/berlin-1#x",
        "spiffe://acme.picket.example/agent/berlin-1/",
        "spiffe://acme.picket.example/agent/berlin-1/more",
        "spiffe://acme.picket.example/agent",
        "spiffe://acme.picket.example/agent/",
        "spiffe://acme.picket.example/",
        "spiffe://acme.picket.example",
        "spiffe:///agent/berlin-1",
        "spiffe://.picket.example/agent/berlin-1",
        "spiffe://acme..example/agent/berlin-1",
        "spiffe://acme.picket.example./agent/berlin-1",
        "spiffe://example/agent/berlin-1",
        "spiffe://ac.picket.example/agent/berlin-1",
        "spiffe://acme.picket.example/gateway/gw-1/tenant",
        "spiffe://acme.picket.example/gateway/gw-1/tenant/acme/x",
        " spiffe://acme.picket.example/agent/berlin-1",
        "spiffe://acme.picket.example/agent/berlin-1 ",
        "",
    ] {
        assert!(text.parse::<SpiffeId>().is_err(), "accepted {text:?}");
    }
}

#[test]
fn refuses_an_id_longer_than_any_of_ours() {
    let long = format!("spiffe://{}.example/agent/a", "a.".repeat(300));
    assert!(matches!(long.parse::<SpiffeId>(), Err(SpiffeError::TooLong(_))));
}

#[test]
fn a_trust_domains_own_id_has_no_path() {
    let domain: TrustDomain = "acme.picket.example".parse().unwrap();
    assert_eq!(TrustDomain::from_id(&domain.id()).unwrap(), domain);
    assert!(TrustDomain::from_id("spiffe://acme.picket.example/").is_err());
    assert!(TrustDomain::from_id("spiffe://acme.picket.example/agent/a").is_err());
    assert!(TrustDomain::from_id("acme.picket.example").is_err());
}
