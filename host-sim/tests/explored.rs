//! Generated dialogues, and how small a failing one becomes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::time::Duration;

use common::filter;
use portcullis_host_sim::FilterModule;
use portcullis_host_sim::explore::{Dialogues, Found, for_dialogues};
use portcullis_host_sim::scenario::{Action, PlayOptions, Scenario, format, play};

/// Loses every segment of the client's that begins with `Q`, after the server has spoken.
const BROKEN: &str = r#"
(global $spoke (mut i32) (i32.const 0))
(func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
  (global.set $spoke (i32.const 1)) (i32.const 0))
(func (export "proxy_on_downstream_data") (param i32) (param $size i32) (param i32) (result i32)
  (if (i32.and (global.get $spoke) (i32.gt_u (local.get $size) (i32.const 0))) (then
    (drop (call $get_buffer (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 200) (i32.const 204)))
    (if (i32.eq (i32.load8_u (i32.load (i32.const 200))) (i32.const 81)) (then
      (drop (call $set_buffer (i32.const 2) (i32.const 0) (local.get $size)
        (i32.const 0) (i32.const 0)))))))
  (i32.const 0))"#;

fn dialogues() -> Dialogues {
    Dialogues::new(
        ["NOOP\r\n", "EHLO a\r\n", "DATA\r\n", "QUIT\r\n"],
        ["250 ok\r\n", "220 mx\r\n"],
    )
    .steps(60)
    .pauses(Duration::from_secs(5))
    .like("?unchanged\n".parse().unwrap())
}

fn passes(scenario: &Scenario, module: &FilterModule) -> Result<(), String> {
    let report = play(scenario, module, &PlayOptions::default()).unwrap();
    report
        .failure
        .map_or(Ok(()), |failure| Err(failure.to_string()))
}

#[test]
fn a_failing_dialogue_shrinks_to_the_smallest() {
    let module = filter(BROKEN);
    let found = for_dialogues(0..200, &dialogues(), |scenario, _| {
        passes(scenario, &module)
    });
    let found = found.unwrap_err();
    let text = found.to_string();
    let Found::Dialogue { seed, scenario, .. } = found else {
        panic!("{text}");
    };
    // The server must have spoken, and the segment begins with Q: nothing else matters.
    let smallest = scenario.to_string();
    let octet = smallest.split("S> ").nth(1).unwrap();
    let octet = octet.split('\n').next().unwrap();
    assert_eq!(
        smallest,
        std::format!("client: 203.0.113.7:40001\n\nS> {octet}\nC> Q\\\n?unchanged\n")
    );
    assert!(octet == "\\n\\" || octet.len() == 2, "{octet}");
    assert!(text.starts_with(&std::format!(
        "seed {seed} failed: line 1: expected each side to read"
    )));
    assert!(text.contains(&std::format!("HOST_SIM_SEED={seed} finds it again")));
    assert!(text.ends_with(&smallest));
    // What is printed is a file that `host-sim replay` fails with in the same way.
    assert_eq!(format(&smallest).unwrap(), smallest);
    assert!(passes(&smallest.parse().unwrap(), &module).is_err());
    // The same again.
    let again = for_dialogues(0..200, &dialogues(), |scenario, _| {
        passes(scenario, &module)
    });
    assert_eq!(again.unwrap_err().to_string(), text);
}

#[test]
fn panics_are_found_and_shrunk_as_well() {
    let found = for_dialogues(0..50, &dialogues(), |scenario, _| {
        assert!(!scenario.to_string().contains("DATA"), "no data here");
    });
    let text = found.unwrap_err().to_string();
    assert!(text.contains("failed: no data here; "), "{text}");
    assert!(text.contains("\n\nC> DATA\\\n?unchanged\n"), "{text}");
}

#[test]
fn dialogues_are_many_and_make_sense() {
    let mut ended = 0;
    let mut reset = 0;
    let mut cut = 0;
    let test = |scenario: &Scenario, _| {
        assert_eq!(
            scenario
                .to_string()
                .parse::<Scenario>()
                .unwrap()
                .to_string(),
            scenario.to_string()
        );
        Ok::<(), String>(())
    };
    for_dialogues(0..100, &dialogues(), test).unwrap();
    let counts = std::cell::RefCell::new((&mut ended, &mut reset, &mut cut));
    for_dialogues(0..100, &dialogues(), |scenario, _| {
        let mut counts = counts.borrow_mut();
        for step in &scenario.steps {
            match &step.action {
                Action::HalfClose(_) => *counts.0 += 1,
                Action::Abort(_) => *counts.1 += 1,
                Action::Write(_, part) => *counts.2 += usize::from(!part.bytes().ends_with(b"\n")),
                Action::Expect(..) | Action::Share { .. } | Action::Message(_) => {
                    unreachable!("none was asked for")
                }
            }
        }
    })
    .unwrap();
    assert!(
        ended > 20 && reset > 5 && cut > 100,
        "{ended} {reset} {cut}"
    );
}
