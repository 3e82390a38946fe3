//! Outputs as plugins print them, and as they shouldn't.

use proptest::prelude::*;

use super::*;
use crate::report::Metric;
use crate::report::limits::check_report;

fn read(stdout: &str, exit: Exit) -> Report {
    let report = parse(stdout.as_bytes(), exit).unwrap();
    check_report(&report).unwrap();
    report
}

fn metrics(perfdata: &str) -> Vec<Metric> {
    read(&format!("OK | {perfdata}"), Exit::Code(0)).metrics
}

fn one(perfdata: &str) -> Metric {
    let metrics = metrics(perfdata);
    assert_eq!(metrics.len(), 1, "{perfdata}");
    metrics.into_iter().next().unwrap()
}

/// What can't be used of this performance data, as the details have it.
fn note(perfdata: &str) -> String {
    let report = read(&format!("OK | {perfdata} fine=1"), Exit::Code(0));
    assert_eq!(report.metrics.last().unwrap().name, "fine", "the rest is used");
    report.details.unwrap()
}

fn details(report: &Report) -> &str {
    report.details.as_deref().unwrap_or_default()
}

#[test]
fn a_plain_line_is_a_report() {
    let report = read(
        "DISK WARNING - free space: / 3326 MB (9%) | /=32000MB;30000;34000;0;36000\n",
        Exit::Code(1),
    );
    assert_eq!(report.status, Status::Warning);
    assert_eq!(report.summary, "DISK WARNING - free space: / 3326 MB (9%)");
    assert_eq!(report.details, None);
    let expected = Metric {
        name: "/".to_owned(),
        value: 32_000.0,
        unit: "MBy".to_owned(),
        counter: false,
        warning: Some("30000".to_owned()),
        critical: Some("34000".to_owned()),
        min: Some(0.0),
        max: Some(36_000.0),
        labels: Vec::new(),
    };
    assert_eq!(report.metrics, [expected]);
}

/// The example of the guidelines' page on plugin output.
#[test]
fn long_text_and_more_performance_data_are_told_apart() {
    let report = read(
        "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n\
         / 15272 MB (77%);\n\
         /boot 68 MB (69%);\n\
         /var/log 819 MB (84%); | /boot=68MB;88;93;0;98\n\
         /home=69357MB;253404;253409;0;253414 \n\
         /var/log=818MB;970;975;0;980\n",
        Exit::Code(0),
    );
    assert_eq!(
        details(&report),
        "/ 15272 MB (77%);\n/boot 68 MB (69%);\n/var/log 819 MB (84%);"
    );
    let names: Vec<_> = report.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["/", "/boot", "/home", "/var/log"]);
}

#[test]
fn codes_are_states_and_other_codes_are_unknown() {
    for (code, status) in [
        (0, Status::Ok),
        (1, Status::Warning),
        (2, Status::Critical),
        (3, Status::Unknown),
    ] {
        let report = read("text", Exit::Code(code));
        assert_eq!((report.status, report.details), (status, None));
    }
    for code in [4, 127, 255] {
        let report = read("OK: text", Exit::Code(code));
        assert_eq!(report.status, Status::Unknown);
        assert!(details(&report).contains(&format!("ended with code {code}")));
    }
}

#[test]
fn where_code_and_word_contradict_each_other_the_code_counts() {
    let report = read("CRITICAL - down", Exit::Code(0));
    assert_eq!(report.status, Status::Ok);
    assert_eq!(
        details(&report),
        "note: the line says CRITICAL, and the command ended with code 0: the code counts"
    );
    assert_eq!(read("OK - fine", Exit::Code(2)).status, Status::Critical);
}

#[test]
fn where_no_code_arrives_the_word_counts() {
    assert_eq!(read("WARNING: slow", Exit::Failed).status, Status::Warning);
    assert_eq!(
        read("TCP CRITICAL - refused", Exit::Failed).status,
        Status::Critical
    );
    assert_eq!(read("UNKNOWN: usage", Exit::Failed).details, None);
}

#[test]
fn failed_without_a_word_that_fits_is_unknown_and_says_so() {
    let report = read("something happened", Exit::Failed);
    assert_eq!(report.status, Status::Unknown);
    assert!(details(&report).contains("doesn't begin with WARNING, CRITICAL or UNKNOWN"));
    let report = read("OK: fine", Exit::Failed);
    assert_eq!(report.status, Status::Unknown);
    assert!(details(&report).contains("says OK, and the command ended as failed"));
}

#[test]
fn no_output_is_an_error_whatever_the_code() {
    for stdout in ["", "\n", " \r\n\t\n"] {
        let error = parse(stdout.as_bytes(), Exit::Code(0)).unwrap_err().to_string();
        assert!(error.contains("printed nothing and ended with code 0"), "{error}");
    }
}

#[test]
fn a_line_without_a_line_feed_is_a_line() {
    assert_eq!(read("OK: fine|a=1", Exit::Code(0)).metrics.len(), 1);
}

#[test]
fn performance_data_alone_gets_a_sentence() {
    assert!(read("|a=1", Exit::Code(0)).summary.contains("no text"));
}

#[test]
fn numbers_have_signs_points_and_exponents() {
    for (text, value) in [
        ("1", 1.0),
        ("-1.5", -1.5),
        ("+2", 2.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1_000.0),
        ("2.5E-3", 0.0025),
    ] {
        assert_eq!(one(&format!("a={text}")).value, value, "{text}");
    }
    let metric = one("a=1.5e3ms");
    assert_eq!((metric.value, metric.unit.as_str()), (1_500.0, "ms"));
    assert_eq!(one("a=5e").unit, "e");
}

#[test]
fn what_is_no_number_is_kept_as_text() {
    for text in ["a=", "a=.", "a=-", "a=nan", "a=inf", "a=1e999", "a=x1"] {
        assert!(
            note(text).contains(&format!("{text} (expected a number)")),
            "{text}"
        );
    }
}

/// `1,500` is one and a half in Berlin and fifteen hundred in Boston: a wrong number is worse than none.
#[test]
fn a_decimal_comma_is_refused() {
    let note = note("a=1,500s;2;3");
    assert!(
        note.contains("a=1,500s;2;3") && note.contains("print a point"),
        "{note}"
    );
}

#[test]
fn a_value_that_the_command_could_not_tell_is_no_metric() {
    assert!(note("a=U;1;2").contains("couldn't tell the value"));
}

#[test]
fn counters_are_counters() {
    let metric = one("octets=123456c;;;0");
    assert!(metric.counter);
    assert_eq!((metric.unit.as_str(), metric.min), ("1", Some(0.0)));
}

#[test]
fn labels_are_quoted_or_not() {
    let metric = one("'Time offset'=0.5s");
    assert_eq!(metric.name, "Time_offset");
    assert_eq!(
        metric.labels,
        [(ORIGINAL_LABEL.to_owned(), "Time offset".to_owned())]
    );
    let metric = one("'it''s = here'=1");
    assert_eq!(metric.name, "it_s___here");
    assert_eq!(metric.labels[0].1, "it's = here");
    let metric = one("'/var'=1");
    assert_eq!((metric.name.as_str(), metric.labels.len()), ("/var", 0));
    assert_eq!(one("check::plugins=2").name, "check::plugins");
}

#[test]
fn labels_that_cant_be_read_cost_nothing_but_themselves() {
    for (text, words) in [
        ("=5", "no label"),
        ("''=5", "no label"),
        ("free", "expected label=value"),
        ("'quoted'5", "closing quote"),
    ] {
        assert!(note(text).contains(words), "{text}");
    }
    let report = read("OK | a=1 'open=2 ", Exit::Code(0));
    assert_eq!(report.metrics.len(), 1);
    assert!(
        details(&report).contains("'open=2 (expected a closing quote"),
        "{report:?}"
    );
}

#[test]
fn labels_that_become_the_same_name_stay_apart() {
    let metrics = metrics("'a b'=1 a_b=2 'a=b'=3");
    assert!(metrics.iter().all(|metric| metric.name == "a_b"));
    assert_eq!(metrics.len(), 3);
}

#[test]
fn of_two_metrics_with_one_label_the_first_counts() {
    let report = read("OK | a=1 a=2", Exit::Code(0));
    assert_eq!(report.metrics.len(), 1);
    assert_eq!(report.metrics[0].value, 1.0);
    assert!(details(&report).contains("a=2 (the label occurs twice"));
}

#[test]
fn thresholds_stay_as_they_were_printed() {
    let metric = one("a=5;~:10;@20:30");
    assert_eq!(metric.warning.as_deref(), Some("~:10"));
    assert_eq!(metric.critical.as_deref(), Some("@20:30"));
    let metric = one("a=5;;90;;100");
    assert_eq!(
        (metric.warning, metric.min, metric.max),
        (None, None, Some(100.0))
    );
}

#[test]
fn a_threshold_that_is_none_is_left_out_and_the_value_stays() {
    let report = read("OK | a=5;80%;90;x;100;more", Exit::Code(0));
    let metric = &report.metrics[0];
    assert_eq!(
        (&metric.warning, metric.min, metric.max),
        (&None, None, Some(100.0))
    );
    assert_eq!(metric.critical.as_deref(), Some("90"));
    for words in [
        "the warning range of a is left out",
        "the minimum of a is left out",
        "what follows the maximum of a",
    ] {
        assert!(details(&report).contains(words), "{}", details(&report));
    }
}

#[test]
fn metrics_beyond_the_limit_are_counted_as_left_out() {
    let many: Vec<String> = (0..600).map(|number| format!("m{number}={number}")).collect();
    let report = read(&format!("OK | {}", many.join(" ")), Exit::Code(0));
    assert_eq!(report.metrics.len(), 512);
    assert!(details(&report).contains("m512=512 (at most 512 metrics are kept)"));
    assert!(details(&report).ends_with("more of these"));
}

#[test]
fn control_characters_and_other_encodings_are_replaced() {
    let report = parse(
        b"OK: \x1b[31mred\x1b[0m\t\xff\xfe|a\x07=1\r\nmore\r\n",
        Exit::Code(0),
    )
    .unwrap();
    check_report(&report).unwrap();
    assert_eq!(report.summary, "OK:  [31mred [0m \u{fffd}\u{fffd}");
    assert!(details(&report).starts_with("more\n"));
    assert!(details(&report).contains("aren't UTF-8"));
}

#[test]
fn a_long_line_is_cut_and_whole_in_the_details() {
    let line = format!("OK: {}", "long ".repeat(500));
    let report = read(&line, Exit::Code(0));
    assert!(report.summary.ends_with('…'));
    assert_eq!(details(&report), line.trim());
}

#[test]
fn output_beyond_the_limit_is_not_read_and_no_number_is_read_half() {
    let mut text = "OK | a=1 ".to_owned();
    while text.len() < MAX_OUTPUT - 10 {
        text.push_str("filling ");
    }
    text.truncate(MAX_OUTPUT - 10);
    text.push_str(" b=12345678901234567890");
    let report = read(&text, Exit::Code(0));
    assert_eq!(report.metrics.len(), 1, "b would have been read as 1234567");
    assert!(details(&report).contains("more than 65536 bytes"));
}

proptest! {
    #[test]
    fn whatever_was_printed_the_report_is_within_the_contract(
        stdout in proptest::collection::vec(any::<u8>(), 0..2_000),
        code in any::<u8>(),
    ) {
        for exit in [Exit::Code(code), Exit::Failed] {
            if let Ok(report) = parse(&stdout, exit) {
                prop_assert_eq!(check_report(&report), Ok(()));
            }
        }
    }

    #[test]
    fn whatever_looks_like_performance_data_is_read_or_noted(
        items in proptest::collection::vec("['a-c=;:~@ 0-9.,%UcsB|\n]{0,12}", 0..40),
    ) {
        let text = format!("OK|{}", items.join(" "));
        let report = parse(text.as_bytes(), Exit::Code(0)).unwrap();
        prop_assert_eq!(check_report(&report), Ok(()));
    }

    #[test]
    fn what_can_be_read_is_read_exactly(
        label in "[a-zA-Z0-9_/ '=ä]{1,20}",
        value in -1e15..1e15_f64,
        range in prop_oneof!["[0-9]{1,3}", "~:[0-9]{1,3}", "@1:[1-9]{1,3}"],
    ) {
        prop_assume!(!label.trim().is_empty());
        let quoted = label.replace('\'', "''");
        let report = read(&format!("OK | '{quoted}'={value}ms;{range};;0"), Exit::Code(0));
        let metric = &report.metrics[0];
        let found = metric.labels.first().map_or(&metric.name, |(_, original)| original);
        prop_assert_eq!(found, &label);
        prop_assert_eq!(metric.value, value);
        prop_assert_eq!(metric.warning.as_ref(), Some(&range));
        prop_assert_eq!(metric.min, Some(0.0));
    }
}
