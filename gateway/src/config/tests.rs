use super::*;

const GOOD: &str = r#"
name = "gw-1"
platform = "platform.example:7600"
identity_dir = "identity"

[metrics]
listen = "127.0.0.1:9465"
"#;

fn parse(source: &str) -> Result<Config, ConfigError> {
    Config::parse(source, Path::new("/etc/picket/gateway.toml"))
}

fn messages(source: &str) -> Vec<String> {
    parse(source)
        .unwrap_err()
        .problems()
        .iter()
        .map(|problem| match &problem.help {
            Some(help) => format!("{problem}; {help}"),
            None => problem.to_string(),
        })
        .collect()
}

#[test]
fn reads_a_whole_file_and_takes_paths_from_its_folder() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.name.as_str(), "gw-1");
    assert_eq!(config.platform, "platform.example:7600");
    assert_eq!(config.identity.folder(), Some(Path::new("/etc/picket/identity")));
    assert_eq!(config.metrics, Some("127.0.0.1:9465".parse().unwrap()));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.weight, 1);
}

#[test]
fn reports_every_problem_at_once_in_the_order_of_the_file() {
    let found = messages(
        r#"
name = "GW"
platfrom = "x:1"
weight = 0
[limits]
polls = "many"
[metrics]
listen = "0.0.0.0:9465"
"#,
    );
    assert_eq!(found.len(), 7, "{found:#?}");
    for expected in [
        "`platform` is missing",
        "`identity_dir` is missing",
        "did you mean `platform`?",
        "`name`: gateway name `GW`",
        "`weight`: found 0, expected a whole number from 1 to 1000",
        "`polls`: found string, expected a whole number",
        "isn't a loopback address",
    ] {
        assert!(
            found.iter().any(|message| message.contains(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn points_into_the_file() {
    let error = parse("name = \"gw-1\"\nplatform = \"nowhere\"\nidentity_dir = \"i\"\n").unwrap_err();
    assert_eq!(error.problems().len(), 1);
    assert_eq!(error.problems()[0].span, Some(25..34));
    let mut shown = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .render_report(&mut shown, &error)
        .unwrap();
    assert!(shown.contains("/etc/picket/gateway.toml:2:12"), "{shown}");
    assert!(shown.contains("platform = \"nowhere\""), "{shown}");
}

#[test]
fn broken_toml_is_reported_as_such_only() {
    let found = messages("name = \"gw-1\nplatform = 1");
    assert!(!found.is_empty());
    assert!(
        found.iter().all(|message| !message.contains("missing")),
        "{found:?}"
    );
}

#[test]
fn metrics_without_an_address_say_what_is_missing() {
    assert_eq!(
        messages("name = \"gw-1\"\nplatform = \"p:1\"\nidentity_dir = \"i\"\n[metrics]\n"),
        ["`listen` is missing in [metrics]"]
    );
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let error = Config::load(Path::new("/nonexistent/gateway.toml")).unwrap_err();
    assert!(
        error.problems()[0]
            .help
            .as_ref()
            .unwrap()
            .contains("gateway init")
    );
}

#[test]
fn addresses_of_the_platform() {
    for good in ["a:1", "platform.example:7600", "127.0.0.1:7600", "[::1]:7600"] {
        assert_eq!(host_and_port(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "::1:7600",
        "[::1]",
        "http://a:1",
        "a b:1",
        "[a]:1",
    ] {
        assert!(host_and_port(bad).is_err(), "{bad}");
    }
}

const BY_WORKLOAD_API: &str = r#"
name = "gw-1"
platform = "platform.example:7600"
trust_domain = "picket.example"

[identity]
workload_api = "unix:///run/spire/agent.sock"
"#;

#[test]
fn an_identity_can_come_from_a_workload_api() {
    let config = parse(BY_WORKLOAD_API).unwrap();
    let expected = IdentitySource::WorkloadApi {
        socket: "unix:///run/spire/agent.sock".parse().unwrap(),
        id: "spiffe://picket.example/gateway/gw-1".parse().unwrap(),
    };
    assert_eq!(config.identity, expected);
}

#[test]
fn an_identity_comes_from_one_place_and_its_trust_domain_is_said() {
    let both = BY_WORKLOAD_API.replace("[identity]", "identity_dir = \"identity\"\n[identity]");
    let found = messages(&both);
    assert!(found[0].contains("leave one of the two out"), "{found:#?}");
    let found = messages(&BY_WORKLOAD_API.replace("trust_domain = \"picket.example\"\n", ""));
    assert_eq!(found, ["`trust_domain` is missing"]);
    let found = messages(&BY_WORKLOAD_API.replace("unix:///run/spire/agent.sock", "tcp://127.0.0.1:8081"));
    assert!(found[0].contains("isn't a Unix socket"), "{found:#?}");
    let found = messages(&BY_WORKLOAD_API.replace("workload_api =", "workload_ap ="));
    assert!(
        found
            .iter()
            .any(|problem| problem.contains("did you mean `workload_api`?")),
        "{found:#?}"
    );
}
