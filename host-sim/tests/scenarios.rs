//! Reading and playing text dialogues.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use common::{ROUTE, ROUTE_AT_ONCE, filter, pass_through};
use portcullis_host_sim::scenario::{
    Action, ErrorKind, FillError, PlayOptions, Policy, Report, Scenario, ScenarioError, ServerRole,
    Side, play,
};

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    text.parse()
}

fn run(text: &str, split: usize) -> Report {
    let options = PlayOptions {
        split,
        ..PlayOptions::default()
    };
    play(&parse(text).unwrap(), &pass_through(), &options).unwrap()
}

#[test]
fn errors_name_the_line_and_the_mend() {
    let table = [
        ("hello: x", (1, 1), ErrorKind::UnknownHeader("hello".into())),
        (
            "local: 192.0.2.1:1\n local: 192.0.2.1:1",
            (2, 2),
            ErrorKind::HeaderTwice("local".into()),
        ),
        ("policy: ", (1, 1), ErrorKind::EmptyHeader("policy".into())),
        (
            "# c\nclient: here",
            (2, 9),
            ErrorKind::BadAddress("here".into()),
        ),
        ("started: now", (1, 10), ErrorKind::BadMoment("now".into())),
        (
            "server: qmail",
            (1, 9),
            ErrorKind::BadServer("qmail".into()),
        ),
        (
            "server: mta known=\"a",
            (1, 9),
            ErrorKind::BadServer("mta known=\"a".into()),
        ),
        ("\n\nX> hi", (3, 1), ErrorKind::UnknownMarker("X>".into())),
        ("S? ", (1, 1), ErrorKind::UnknownMarker("S?".into())),
        ("0.5 ", (1, 1), ErrorKind::NoMarker),
        ("1e3 C> a", (1, 1), ErrorKind::BadTime("1e3".into())),
        ("C| now", (1, 4), ErrorKind::UnwantedText("C|".into())),
        (
            "C> hi\nclient: 192.0.2.1:1",
            (2, 1),
            ErrorKind::UnknownMarker("client:".into()),
        ),
        ("0.5 C*0 x", (1, 5), ErrorKind::BadCount("C*0".into())),
        ("C<*x y", (1, 1), ErrorKind::BadCount("C<*x".into())),
        ("C+ x", (1, 1), ErrorKind::NothingToJoin("C+".into())),
        ("S> x\nC+ x", (2, 1), ErrorKind::NothingToJoin("C+".into())),
        ("C> x\n1.0 C+ x", (2, 1), ErrorKind::TimeOnJoined),
        ("C> é\\y", (1, 5), ErrorKind::BadEscape("\\y".into())),
        ("C< a\\x0", (1, 5), ErrorKind::BadEscape("\\x0".into())),
        (
            "C> a\\{5 cats}",
            (1, 5),
            ErrorKind::BadMark("\\{5 cats}".into()),
        ),
        (
            "C> \\{1 body}",
            (1, 4),
            ErrorKind::BadFill {
                mark: "\\{1 body}".into(),
                source: FillError::BodyOfOne,
            },
        ),
        (
            "server: mta known=a\nS> 220 x",
            (2, 1),
            ErrorKind::ServerSpeaksItself,
        ),
        (
            "1.0 C> a\n0.5 C> b",
            (2, 1),
            ErrorKind::TimeGoesBack("0.5".into()),
        ),
        ("?log ", (1, 1), ErrorKind::EmptyCheck("?log".into())),
        (
            "?property a",
            (1, 1),
            ErrorKind::EmptyCheck("?property".into()),
        ),
        ("?what x", (1, 1), ErrorKind::UnknownMarker("?what".into())),
        ("?json a /b admit", (1, 7), ErrorKind::BadJsonCheck),
        ("?closed so", (1, 9), ErrorKind::BadReason("so".into())),
    ];
    for (text, place, kind) in table {
        let error = parse(text).unwrap_err();
        assert_eq!((error.line, error.column), place, "{text}");
        assert_eq!(error.kind, kind, "{text}");
    }
}

#[test]
fn a_scenario_has_its_limits() {
    let too_long =
        |what| move |kind| matches!(kind, ErrorKind::TooLong { what: of, .. } if of == what);
    let filled = |count: usize| format!("C*{count} \\{{16777216 text}}\\\n");
    assert!(parse(&filled(4)).is_ok());
    let octets = parse(&filled(5)).unwrap_err();
    assert!(too_long("octets to write")(octets.kind));
    let million = "C<*100000 x\n".repeat(10);
    assert!(parse(&million).is_ok());
    let steps = parse(&(million + "C<-")).unwrap_err();
    assert!(too_long("steps")(steps.kind));
}

#[test]
fn a_caret_points_at_what_is_wrong() {
    let error = parse("# a\n\t0.250 C> é\\{5 cats} more\n").unwrap_err();
    let pointed = error.in_file("story.txt").to_string();
    let lines: Vec<&str> = pointed.lines().collect();
    assert!(
        lines[0].starts_with("story.txt:2:12: bad mark `\\{5 cats}`; write"),
        "{pointed}"
    );
    assert_eq!(
        lines[1..],
        [
            "  |",
            "2 | \t0.250 C> é\\{5 cats} more",
            "  | \t          ^^^^^^^^^"
        ]
    );
}

#[test]
fn headers_and_segments() {
    let scenario = parse(
        "client: [2001:db8::7]:40001\nlocal: 192.0.2.9:25\npolicy: {\"a\": 1}\n\
         server: script\n\n0.5 S> 220 a\nS+ b\nC> one\nC*2 n{n}\nC+ end\\\nC*1 new\nC> alone\n",
    )
    .unwrap();
    assert_eq!(scenario.client.to_string(), "[2001:db8::7]:40001");
    assert_eq!(scenario.policy, Some(Policy::Inline("{\"a\": 1}".into())));
    let writes: Vec<(usize, Side, &[u8])> = scenario
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::Write(side, segment) => (step.line, *side, segment.bytes()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: [(usize, Side, &[u8]); 3] = [
        (6, Side::Server, b"220 a\r\nb\r\n"),
        (8, Side::Client, b"one\r\nn1\r\nn2\r\nendnew\r\n"),
        (12, Side::Client, b"alone\r\n"),
    ];
    assert_eq!(writes, expected);
    let scenario =
        parse("policy: a/b.json\nserver: mta known=a,b unknown=\"550 no one\" domain=x.test");
    let scenario = scenario.unwrap();
    assert_eq!(scenario.policy, Some(Policy::File("a/b.json".into())));
    let mta = ServerRole::Mta {
        domain: "x.test".into(),
        known: vec!["a".into(), "b".into()],
        unknown: Some("550 no one".into()),
    };
    assert_eq!(scenario.server, mta);
}

const SCRIPTED: &str = r"
0.000 S> 220 mx
C< 220 *
0.250 C> EHLO a
C+ MAIL FROM:<a@b.test>
S< EHLO a
S<-
";

#[test]
fn a_failed_expectation_names_line_expectation_and_what_came() {
    let report = run(SCRIPTED, 0);
    let failure = report.failure.unwrap();
    assert_eq!(
        failure.to_string(),
        "line 7: expected nothing to read for the server and the stream open, \
         got `MAIL FROM:<a@b.test>`"
    );
    let mend = SCRIPTED.replace(
        "S<-",
        "S< MAIL*\nS<-\nC|\nS<|\nS> 221 bye\nS|\nC< 221 bye\nC<|",
    );
    assert_eq!(run(&mend, 0).failure, None);
    assert_eq!(run(&mend, 1).failure, None, "segmentation changes nothing");
    let report = run(&mend.replace("C<|", "C<-"), 0);
    assert!(
        report
            .failure
            .unwrap()
            .got
            .contains("the end of the stream")
    );
}

#[test]
fn times_and_both_sides_are_in_the_report() {
    let report = run(SCRIPTED, 0);
    let lines: Vec<String> = report.entries.iter().map(ToString::to_string).collect();
    assert!(
        lines.contains(&"    0.000 C< 220 mx".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines.contains(&"    0.250 S< EHLO a".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn the_demo_server_can_play_the_server() {
    let dialogue = r#"
server: mta known=alice unknown="550 5.1.1 <{address}> unknown"
C< 220 *
C> EHLO a
C<*6 250*
C> MAIL FROM:<s@x.test>
C*2 RCPT TO:<no{n}@example.test>
C+ RCPT TO:<alice@example.test>
C< 250 2.1.0 *
C< 550 5.1.1 <no1@example.test> unknown
C< 550 5.1.1 <no2@example.test> unknown
C< 250 2.1.5 *
C> QUIT
C< 221 *
C<|
"#;
    for split in [0, 1, 7] {
        assert_eq!(run(dialogue, split).failure, None, "split {split}");
    }
}

#[test]
fn waiting_for_an_expectation_lets_ticks_fire_and_ends() {
    // Closes context 2 on the tick after 3 s.
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $tick (i32.const 3000))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (call $say (i32.const 42))
             (drop (call $act_as (i32.const 2))) (drop (call $close (i32.const 2))))"#,
    );
    let options = PlayOptions::default();
    let scenario = parse("S> 220 mx\nC< 220 mx\nC<-\nC<|\n?log 42\n").unwrap();
    let report = play(&scenario, &module, &options).unwrap();
    assert_eq!(report.failure, None);
    let closed = report
        .entries
        .iter()
        .find(|entry| entry.text == "C<|")
        .unwrap();
    assert_eq!(closed.at.as_secs(), 3);
    let scenario = parse("S> 220 mx\nC< 220 mx\nC< never\n").unwrap();
    assert!(
        play(&scenario, &module, &options)
            .unwrap()
            .failure
            .is_some()
    );
}

#[test]
fn checks_look_at_logs_and_properties_and_any_trap_fails() {
    let module = filter(
        r#"(func (export "proxy_on_log") (param i32)
             (call $say (i32.const 12))
             (drop (call $set_property (i32.const 130) (i32.const 7) (i32.const 125) (i32.const 5))))"#,
    );
    let options = PlayOptions::default();
    let play = |text: &str| play(&parse(text).unwrap(), &module, &options).unwrap();
    assert_eq!(play("C> a\n?log 12\n?property verdict val").failure, None);
    let failure = play("C> a\n?log 13").failure.unwrap();
    assert_eq!(
        (failure.line, failure.expected.as_str()),
        (Some(2), "a log line with `13`")
    );
    let failure = play("C> a\n?property verdict other").failure.unwrap();
    assert_eq!(failure.got, "`value`");
    let failure = play("C> a\n?property missing other").failure.unwrap();
    assert_eq!(failure.got, "no such property");
    let failure = play("C> a\n?json verdict /rule \"x\"").failure.unwrap();
    assert_eq!(failure.got, "no JSON: `value`");
    assert_eq!(play("C> a\n?closed finished").failure, None);
    let failure = play("C> a\nS!\n?closed finished").failure.unwrap();
    assert_eq!(failure.got, "server_reset");

    let module = filter(r#"(func (export "proxy_on_log") (param i32) unreachable)"#);
    let report = portcullis_host_sim::scenario::play(&parse("C> a").unwrap(), &module, &options);
    let failure = report.unwrap().failure.unwrap();
    assert!(
        failure.got.starts_with("a trap in proxy_on_log"),
        "{failure}"
    );
}

#[test]
fn a_routed_session_meets_the_echo_and_the_server_says_nothing() {
    let module = filter(&[ROUTE, ROUTE_AT_ONCE].concat());
    let options = PlayOptions {
        echo_clusters: vec!["refuse".into()],
        ..PlayOptions::default()
    };
    let play = |server: &str| {
        let text = format!("{server}\nC> EHLO a\nC< PROXY TCP4 *\nC< EHLO a\nC<-\nS<-\n");
        play(&parse(&text).unwrap(), &module, &options).unwrap()
    };
    for server in ["server: mta known=alice", "S> 220 mx"] {
        assert_eq!(play(server).failure, None, "{server}");
    }
}

#[test]
fn a_server_is_heard_when_a_held_connection_goes_on() {
    let module = filter(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (drop (call $tick (i32.const 50))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) (drop (call $tick (i32.const 0)))
             (drop (call $act_as (i32.const 2))) (drop (call $continue (i32.const 2))))"#,
    );
    for server in ["server: mta known=alice", "S> 220 mx"] {
        let scenario = parse(&format!("{server}\nC< 220 *\n")).unwrap();
        let report = play(&scenario, &module, &PlayOptions::default()).unwrap();
        assert_eq!(report.failure, None, "{server}");
    }
}

/// The filter puts `{"rule":{"limit":5}}` where its verdict belongs.
const JSON: &str = r#"
(data (i32.const 500) "{\"rule\":{\"limit\":5}}")
(func (export "proxy_on_log") (param i32)
  (drop (call $set_property (i32.const 130) (i32.const 7) (i32.const 500) (i32.const 20))))"#;

#[test]
fn a_property_that_is_json_is_looked_into() {
    let module = filter(JSON);
    let play = |check: &str| {
        let scenario = parse(&format!("C> a\n?json verdict {check}")).unwrap();
        play(&scenario, &module, &PlayOptions::default())
            .unwrap()
            .failure
    };
    assert_eq!(play("/rule/limit 5"), None);
    assert_eq!(play("/rule {\"limit\": 5}"), None);
    assert_eq!(play("/rule/limit 4").unwrap().got, "5");
    let nowhere = play("/rule/name \"x\"").unwrap();
    assert!(nowhere.got.starts_with("nothing there"), "{nowhere}");
}

#[test]
fn what_a_filter_changes_is_shown_where_it_begins() {
    // Replaces all that the client says by `NOOP`.
    let module = filter(
        r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (drop (call $set_buffer (i32.const 2) (i32.const 0) (i32.const 9999)
               (i32.const 100) (i32.const 6))) (i32.const 0))"#,
    );
    let text = "C> NOTHING\nS> 250 ok\n?unchanged";
    let report = play(&parse(text).unwrap(), &module, &PlayOptions::default()).unwrap();
    assert_eq!(
        report.failure.unwrap().to_string(),
        "line 3: expected each side to read what the other wrote, got after 2 octets the server \
         read `OP`, where the client wrote `THING`"
    );
    assert_eq!(report.totals.client_wrote, 9);
    // Once more at the end of the stream.
    assert_eq!(report.totals.server_read, 12);
    assert_eq!(run(text, 0).failure, None);
    assert_eq!(run(text, 1).differences, []);
}

#[test]
fn a_record_begins_when_its_session_did_and_knows_its_server() {
    let text = "started: 2026-11-26T11:13:20.123Z\nupstream: 198.51.100.7:2525\n\
                listener: smtp\npolicy-version: 7\nx-guard: mx1\n\nS> 220 mx\n";
    let scenario = parse(text).unwrap();
    let started = scenario.record.started.unwrap();
    assert_eq!(started.as_unix_nanos(), 1_795_691_600_123_000_000);
    assert_eq!(scenario.record.notes, [("x-guard".into(), "mx1".into())]);
    // Says how many octets its server's address has, once the server has spoken.
    let module = filter(
        r#"(data (i32.const 520) "upstream\00address\00")
           (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (drop (call $get_property (i32.const 520) (i32.const 17) (i32.const 200) (i32.const 204)))
             (call $say (i32.load (i32.const 204))) (i32.const 0))"#,
    );
    let report = play(&scenario, &module, &PlayOptions::default()).unwrap();
    let said = format!("# log info {}", "198.51.100.7:2525".len());
    assert!(
        report.entries.iter().any(|entry| entry.text == said),
        "{report:#?}"
    );
}

#[test]
fn octets_left_out_are_replayed_as_others() {
    let text = "S> 220 mx\nC> AUTH PLAIN \\{24 secret}\nC> DATA\nC+ \\{4096 body}\\\nC+ .\n\
                S< AUTH PLAIN AAAAAAAAAAAAAAAAAAAAAAAA\nS< DATA\nS< \\{4096 body}.\nS<-\n?unchanged\n";
    for split in [0, 1, 7] {
        assert_eq!(run(text, split).failure, None, "split {split}");
    }
}

#[test]
fn a_seed_cuts_and_delays_and_keeps_the_order_of_the_dialogue() {
    let module = pass_through();
    let text = "S> 220 mx\nC< 220 mx\nC> EHLO a\nC+ NOOP\nS< EHLO a\nS< NOOP\nS<-\n\
                S> 250 ok\nC< 250 ok\nC|\nS<|\nS|\nC<|\n?unchanged\n";
    let scenario = parse(text).unwrap();
    let run = |seed| {
        let options = PlayOptions {
            seed: Some(seed),
            ..PlayOptions::default()
        };
        play(&scenario, &module, &options).unwrap()
    };
    for seed in 0..50 {
        assert_eq!(run(seed).failure, None, "seed {seed}");
    }
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).entries, run(2).entries);
}
