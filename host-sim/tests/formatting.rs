//! The look of scenarios: formatting changes no meaning, and formatted text stays as it is.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use portcullis_host_sim::scenario::{Action, Check, Scenario, format};
use proptest::prelude::*;

/// All that a scenario means: its lines' numbers are no part of it.
fn meaning(text: &str) -> Scenario {
    let mut scenario: Scenario = text.parse().unwrap();
    scenario.steps.iter_mut().for_each(|step| step.line = 0);
    let unnumbered = |check: &mut Check| check.line = 0;
    scenario.checks.iter_mut().for_each(unnumbered);
    scenario
}

/// A text as somebody might write it, with escapes, marks, counted places and odd spaces.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -\\[\\]-z|}~]{0,6}",
        Just("{n}".to_owned()),
        Just("{".to_owned()),
        Just("\u{e9}\u{202e}".to_owned()),
        Just("\t".to_owned()),
        "\\\\[rnt0\\\\]",
        "\\\\x[0-9a-fA-F]{2}",
        (2usize..200).prop_map(|octets| std::format!("\\{{{octets} body}}")),
        "\\\\\\{[1-9][0-9]? (text|secret|lost)\\}",
    ];
    let end = prop_oneof![
        4 => Just(""),
        1 => Just("\\"),
        1 => Just("*"),
        1 => Just("\\x2a"),
        1 => Just(" "),
    ];
    (prop::collection::vec(piece, 0..6), end)
        .prop_map(|(pieces, end)| pieces.concat() + end)
        // What has become an escape by accident is none.
        .prop_filter("readable", |text| {
            std::format!("C*2 {text}").parse::<Scenario>().is_ok()
                && std::format!("C<*2 {text}").parse::<Scenario>().is_ok()
        })
}

fn line() -> impl Strategy<Value = String> {
    let marker = prop_oneof![
        Just("C>"),
        Just("S>"),
        Just("C*3"),
        Just("S<*2"),
        Just("C<"),
        Just("S<"),
    ];
    let said = (marker, text()).prop_map(|(marker, text)| std::format!("{marker} {text}"));
    let joined = (text(), text()).prop_map(|(one, two)| std::format!("C> {one}\nC+ {two}"));
    let space = prop_oneof![Just(""), Just("  "), Just("\t")];
    let bare = prop_oneof![
        Just("C|"),
        Just("S!"),
        Just("C<|"),
        Just("S<- "),
        Just(""),
        Just("\n"),
        Just("# note  "),
        Just("?log  a b "),
        Just("?property a  b"),
        Just("?json a  /b {\"d\": 1, \"c\":2}"),
        Just("?closed filter"),
        Just("?unchanged "),
    ];
    let bare = bare.prop_map(str::to_owned);
    (space, prop_oneof![4 => said, 1 => joined, 2 => bare])
        .prop_map(|(space, line)| std::format!("{space}{line}"))
}

fn scenario() -> impl Strategy<Value = String> {
    let headers = prop_oneof![
        Just(""),
        Just("client:  [2001:db8::7]:9\n"),
        Just("# about\n\n\npolicy: {\"a\":  1}\nstarted:   2026-01-01T00:00:00Z\nx-note: a  b\n"),
    ];
    let lines = prop::collection::vec((any::<bool>(), 0u32..5000, line()), 0..12);
    (headers, lines).prop_map(|(headers, lines)| {
        let mut text = headers.to_owned();
        let mut at = 0;
        for (timed, wait, line) in lines {
            let step = line.trim_start().starts_with(['C', 'S']);
            if timed && step {
                at += wait;
                text += &std::format!("{}.{:04} ", at / 10_000, at % 10_000);
            }
            text += &line;
            text.push('\n');
        }
        text
    })
}

proptest! {
    #[test]
    fn formatting_keeps_the_meaning_and_is_done_once(text in scenario()) {
        let formatted = format(&text).unwrap();
        prop_assert_eq!(meaning(&formatted), meaning(&text));
        prop_assert_eq!(format(&formatted).unwrap(), formatted);
    }

    #[test]
    fn a_scenario_written_out_is_the_same(text in scenario()) {
        let scenario = meaning(&text);
        let written = scenario.to_string();
        prop_assert_eq!(&meaning(&written), &scenario);
        prop_assert_eq!(format(&written).unwrap(), written);
    }
}

#[test]
fn the_look() {
    let text = "# About.\nclient:  192.0.2.9:5\nserver: script\n0.5   S> 220 mx\n\n\n\n  C<   220 *\n\
                12 C> \\x45HLO a\nC+ b  \n# note\nC> a{n}\nC*2 a{n}\\x7bn}\nS<|  \n?unchanged\n\n";
    let formatted = "# About.\nclient: 192.0.2.9:5\nserver: script\n\n 0.500 S> 220 mx\n\n       \
                     C<   220 *\n12.000 C> EHLO a\n       C+ b \\x20\n# note\n       C> a{n}\n       \
                     C*2 a{n}\\x7bn}\n       S<|\n?unchanged\n";
    assert_eq!(format(text).unwrap(), formatted);
    assert_eq!(format("\n\n").unwrap(), "");
}

#[test]
fn what_is_no_scenario_is_not_formatted() {
    assert_eq!(format("C> a\nX> b").unwrap_err().line, 2);
}

#[test]
fn a_write_is_written_out_line_by_line() {
    let text = "C> one\nC+ \\{80 body}\\\nC+ .\nC+ rest\\\n";
    let scenario = meaning(text);
    assert!(matches!(scenario.steps[..], [ref step] if matches!(step.action, Action::Write(..))));
    let written = scenario.to_string();
    assert_eq!(written, std::format!("client: 203.0.113.7:40001\n\n{text}"));
}

#[test]
fn what_other_workers_do_is_written_out_as_it_was() {
    let text = "W=   a.key  \\x01b\\x20 \\xff\n0.5   W@  s \\n\\\\\nC> NOOP\n1 W= a.key \\0\nW@ \\{5 text}\n";
    let scenario = meaning(text);
    assert_eq!(scenario.steps.len(), 5);
    let formatted = format(text).unwrap();
    assert_eq!(meaning(&formatted), scenario);
    assert_eq!(format(&formatted).unwrap(), formatted);
    let written = scenario.to_string();
    assert_eq!(meaning(&written), scenario);
    assert_eq!(format(&written).unwrap(), written);
}

#[test]
fn the_examples_of_the_documentation_are_formatted_scenarios() {
    let documentation = include_str!("../SCENARIOS.md");
    let blocks = documentation.split("```text\n").skip(1);
    let examples: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        assert_eq!(format(example).unwrap(), example);
    }
}
