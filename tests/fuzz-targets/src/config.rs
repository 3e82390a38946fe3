//! `agent.toml` and `checks.d/*.toml`.

use picket_agent_host::config::{AgentConfig, Problems, Source, check_file};

/// Any text in either place: everything that is wrong in it is found, and can be shown.
pub fn config(input: &[u8]) {
    // Files that aren't UTF-8 are refused before they are parsed.
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match AgentConfig::parse(&Source::new("agent.toml", text)) {
        Ok(config) => {
            assert!(config.limits.concurrent_runs >= 1);
            assert!(config.metrics.is_none_or(|metrics| metrics.ip().is_loopback()));
        }
        Err(problems) => shown(&problems),
    }
    let file = check_file::parse(&Source::new("checks.d/x.toml", text));
    for check in &file.checks {
        assert!(!check.interval.is_zero() && check.jitter < check.interval);
        assert_eq!(check.allow.len(), check.grants.len(), "{}", check.name);
        assert!(check.config.is_object());
    }
    assert!(
        file.broken.is_empty() || !file.problems.is_empty(),
        "a check is broken and nothing says why"
    );
    shown(&file.problems.into_iter().collect());
}

/// Rendering points into the text, which must hold wherever a problem is.
fn shown(problems: &Problems) {
    for problem in problems.iter() {
        assert!(problem.sentence().contains(".toml:"), "{}", problem.sentence());
    }
    let rendered = problems.render(false);
    assert_eq!(rendered.is_empty(), problems.is_empty());
}
