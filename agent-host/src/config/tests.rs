use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<AgentConfig, Problems> {
    AgentConfig::parse(&Source::new("etc/agent.toml", text))
}

fn sentences(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(Problem::sentence).collect()
}

#[test]
fn the_least_configuration_has_defaults_for_the_rest() {
    let config = parse("listen = \"127.0.0.1:0\"").unwrap();
    assert_eq!(config.data_dir, Path::new("etc/data"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.metrics, None);
}

#[test]
fn paths_are_relative_to_the_file_and_absolute_ones_stay() {
    let config = parse("listen = \"127.0.0.1:0\"\ndata_dir = \"../d\"\nsecrets_dir = \"/run/s\"").unwrap();
    assert_eq!(config.data_dir, Path::new("etc/../d"));
    assert_eq!(config.secrets_dir, Path::new("/run/s"));
}

#[test]
fn every_error_is_reported_with_its_place_and_what_to_do() {
    let text = include_str!("tests/all_wrong.toml");
    let rendered = parse(text).unwrap_err().render(false);
    let expected = include_str!("tests/all_wrong.txt");
    assert_eq!(rendered, expected, "rendered:\n{rendered}");
}

#[test]
fn broken_toml_is_named_with_line_and_column() {
    let found = sentences("listen = \"127.0.0.1:0\"\n[spool\nquota = \"1 GiB\"\n");
    assert!(found[0].starts_with("etc/agent.toml:2:"), "{found:?}");
    assert!(found[0].contains("this is not TOML"), "{found:?}");
}

#[test]
fn metrics_are_refused_where_others_can_reach_them() {
    let found = sentences("listen = \"0.0.0.0:7443\"\n[metrics]\nlisten = \"0.0.0.0:9464\"");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("loopback"), "{found:?}");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    assert_eq!(
        sentences(""),
        ["etc/agent.toml:1:1: `listen` is missing; add `listen = \"0.0.0.0:7443\"`"]
    );
}

fn set(files: &[(&str, &str)]) -> CheckSet {
    let mut set = CheckSet::default();
    set.apply(texts(files));
    set
}

fn texts(files: &[(&str, &str)]) -> BTreeMap<PathBuf, Result<String, String>> {
    files
        .iter()
        .map(|(path, text)| (PathBuf::from(path), Ok((*text).to_owned())))
        .collect()
}

const WEB: &str = "[check.web]\nchecker = \"http\"\ninterval = \"30s\"\nallow = [\"http:example.com:443\"]\n\
                   [check.web.config]\nurl = \"https://example.com/\"\ncodes = [200, 0x1f]\n";

#[test]
fn a_check_is_read_with_its_defaults() {
    let set = set(&[("web.toml", WEB)]);
    let check = set.checks()["web"].check.clone().unwrap();
    assert_eq!(check.interval, Duration::from_secs(30));
    assert_eq!(check.jitter, Duration::from_secs(3));
    assert_eq!(check.timeout, Duration::from_secs(10));
    assert_eq!(
        check.config,
        serde_json::json!({"url": "https://example.com/", "codes": [200, 31]})
    );
    assert_eq!(check.grants.len(), 1);
}

#[test]
fn a_check_with_a_mistake_leaves_the_others_of_its_file_alone() {
    let text = format!("{WEB}[check.dns]\nchecker = \"dns\"\nintervall = \"10s\"\n");
    let set = set(&[("all.toml", &text)]);
    assert!(set.checks()["web"].problem.is_none());
    let dns = &set.checks()["dns"];
    assert!(dns.check.is_none());
    let problem = dns.problem.clone().unwrap();
    assert!(problem.contains("all.toml:8:"), "{problem}");
    let all: Vec<_> = set.problems().iter().map(Problem::sentence).collect();
    assert!(
        all.iter()
            .any(|problem| problem.contains("did you mean `interval`?")),
        "{all:?}"
    );
}

#[test]
fn a_file_that_breaks_keeps_its_checks_at_the_last_good_version() {
    let dns = "[check.dns]\nchecker = \"dns\"\ninterval = \"10s\"\n";
    let mut set = set(&[("web.toml", WEB), ("dns.toml", dns)]);
    set.apply(texts(&[
        ("web.toml", "[check.web\nchecker = "),
        ("dns.toml", dns),
    ]));
    let web = &set.checks()["web"];
    assert_eq!(web.check.as_ref().unwrap().interval, Duration::from_secs(30));
    assert!(web.problem.as_ref().unwrap().contains("not TOML"), "{web:?}");
    assert!(set.checks()["dns"].problem.is_none());
    set.apply(texts(&[("web.toml", WEB)]));
    assert!(set.checks()["web"].problem.is_none());
    assert_eq!(set.checks().len(), 1);
}

#[test]
fn a_misnamed_table_takes_no_check_down() {
    let mut set = set(&[("web.toml", WEB)]);
    set.apply(texts(&[("web.toml", &WEB.replace("[check", "[chekc"))]));
    let web = &set.checks()["web"];
    assert!(web.check.is_some());
    assert!(
        web.problem.as_ref().unwrap().contains("did you mean `check`?"),
        "{web:?}"
    );
}

#[test]
fn a_second_check_of_a_name_is_refused_and_the_first_one_runs() {
    let set = set(&[("a.toml", WEB), ("b.toml", &WEB.replace("30s", "60s"))]);
    assert_eq!(set.checks()["web"].file, Path::new("a.toml"));
    let problem = set.problems()[0].sentence();
    assert!(
        problem.contains("b.toml:1:") && problem.contains("already configured in a.toml"),
        "{problem}"
    );
}

#[test]
fn values_out_of_range_are_refused() {
    for (from, to, words) in [
        ("\"30s\"", "\"10ms\"", "1s to 7days"),
        ("\"http\"\n", "\"http\"\ntimeout = \"1h\"\n", "1ms to 10m"),
        (
            "\"http\"\n",
            "\"http\"\njitter = \"30s\"\n",
            "shorter than `interval`",
        ),
        (
            "\"http:example.com:443\"",
            "\"https:example.com:443\"",
            "write http:example.com:443",
        ),
        ("\"http\"", "\"../http\"", "not a checker's name"),
        ("[check.web]", "[check.Web]", "only a-z, 0-9"),
        ("codes = [200, 0x1f]", "codes = nan", "finite"),
        ("interval = \"30s\"", "interval = 30", "text in quotes"),
    ] {
        let set = set(&[("web.toml", &WEB.replace(from, to))]);
        let all: Vec<_> = set.problems().iter().map(Problem::sentence).collect();
        assert!(all.iter().any(|problem| problem.contains(words)), "{to}: {all:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let rendered = parse(&text).map(|_| String::new()).unwrap_or_else(|problems| problems.render(false));
        proptest::prop_assert!(parse(&text).is_ok() || !rendered.is_empty());
        let _ = check_file::parse(&Source::new("x.toml", text));
    }
}
