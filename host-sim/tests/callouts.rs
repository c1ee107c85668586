//! HTTP calls to scripted clusters.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use common::{calling_filter, filter, local, log_texts, peer};
use portcullis_host_sim::{
    Builder, CalloutOutcome, FilterModule, HttpAnswer, HttpRequest, Simulator,
};

/// Asks every 10 ms.
const CALL_ON_TICK: &str = r#"
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (drop (call $tick (i32.const 10))) (i32.const 1))
(func (export "proxy_on_tick") (param i32) (call $say (call $ask (i32.const 100))))"#;

/// Says how many headers, bytes of body and trailers came.
const SAY_RESPONSE: &str = r#"
(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
  (call $say (local.get 2)) (call $say (local.get 3)) (call $say (local.get 4)))"#;

/// `$status` and `$body` read these of the response, `$show` logs what was read.
const READ: &str = r#"
(func $status (result i32)
  (call $get_header (i32.const 6) (i32.const 290) (i32.const 7) (i32.const 200) (i32.const 204)))
(func $body (result i32)
  (call $get_buffer (i32.const 4) (i32.const 0) (i32.const 999) (i32.const 200) (i32.const 204)))
(func $show (drop (call $log (i32.const 2) (i32.load (i32.const 200)) (i32.load (i32.const 204)))))"#;

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// A filter that calls the cluster `names` on its first connection, with a time
/// limit of 100 ms, and says the status and then what came of it.
fn caller() -> FilterModule {
    calling_filter(&format!(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (call $ask (i32.const 100))) (i32.const 0)) {SAY_RESPONSE}"#
    ))
}

fn open(builder: Builder) -> Simulator {
    let mut sim = builder.build().unwrap();
    sim.open(peer(), local());
    sim
}

fn outcomes(sim: &Simulator) -> Vec<CalloutOutcome> {
    sim.callouts().iter().map(|call| call.outcome).collect()
}

#[test]
fn an_answer_comes_at_its_time_and_never_inside_the_call() {
    let module = caller();
    let answer = HttpAnswer::respond(200, &[("Server", "x")], "hello").trailers(&[("t", "1")]);
    let mut sim = open(Simulator::builder_for(&module).cluster("names", {
        move |_: &HttpRequest| answer.clone().after(ms(30))
    }));
    assert_eq!(log_texts(&sim), ["00"]);
    assert_eq!(outcomes(&sim), [CalloutOutcome::Pending]);
    assert_eq!(sim.until_next_event(), Some(ms(30)));
    sim.advance(ms(29));
    assert_eq!(log_texts(&sim), ["00"]);
    sim.advance(ms(1));
    // :status, server, x-envoy-upstream-service-time.
    assert_eq!(log_texts(&sim), ["00", "03", "05", "01"]);
    let calls = sim.callouts();
    assert_eq!(calls[0].outcome, CalloutOutcome::Answered(200));
    assert_eq!((calls[0].cluster.as_str(), calls[0].worker), ("names", 0));
    assert_eq!(calls[0].request.header(":path"), Some("/"));
    assert_eq!(calls[0].request.header(":authority"), Some("a"));
    assert_eq!(calls[0].request.body, b"value");
    assert_eq!(calls[0].request.timeout, Some(ms(100)));
    assert_eq!(sim.since_start(calls[0].request.at), ms(0));
    assert_eq!(sim.until_next_event(), None, "one answer for one call");
}

#[test]
fn an_answer_without_delay_comes_in_a_later_callback_too() {
    let module = caller();
    let mut sim = open(
        Simulator::builder_for(&module)
            .cluster("names", |_: &HttpRequest| HttpAnswer::respond(200, &[], "")),
    );
    assert_eq!(log_texts(&sim), ["00"]);
    sim.advance(ms(1));
    assert_eq!(log_texts(&sim), ["00", "02", "00", "00"]);
}

#[test]
fn failures_are_envoys_own_answers() {
    let broken = "upstream connect error or disconnect/reset before headers. reset reason: ";
    let refused = [broken, "remote connection failure"].concat();
    let reset = [broken, "connection termination"].concat();
    let late = "upstream request timeout".to_owned();
    let after_the_limit = HttpAnswer::respond(200, &[], "late").after(ms(100));
    use CalloutOutcome::{Refused, Reset, TimedOut};
    let table = [
        (HttpAnswer::Refused, 0, "503", &refused, Refused),
        (HttpAnswer::Reset, 0, "503", &reset, Reset),
        (HttpAnswer::Never, 100, "504", &late, TimedOut),
        (after_the_limit, 100, "504", &late, TimedOut),
    ];
    let module = calling_filter(&format!(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (call $ask (i32.const 100))) (i32.const 0))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
             (call $say (local.get 2)) (call $say (call $status)) (call $show)
             (call $say (call $body)) (call $show)) {READ}"#
    ));
    for (answer, after, status, body, outcome) in table {
        let answerer = move |_: &HttpRequest| answer.clone();
        let mut sim = open(Simulator::builder_for(&module).cluster("names", answerer));
        sim.advance(ms(200));
        let came = sim.since_start(sim.logs()[1].at);
        assert_eq!(came.as_millis(), after, "{outcome:?}");
        // :status, content-length, content-type; no x-envoy-upstream-service-time.
        let said = ["00", "03", "00", status, "00", body];
        assert_eq!(log_texts(&sim), said, "{outcome:?}");
        assert_eq!(outcomes(&sim), [outcome]);
    }
}

#[test]
fn too_large_a_response_is_a_callback_without_headers() {
    let module = caller();
    for (size, said, outcome) in [
        (
            33_600_000,
            ["00", "00", "00", "00"],
            CalloutOutcome::TooLarge,
        ),
        (0, ["00", "02", "00", "00"], CalloutOutcome::Answered(200)),
    ] {
        let mut sim = open(
            Simulator::builder_for(&module).cluster("names", move |_: &HttpRequest| {
                HttpAnswer::respond(200, &[], vec![b'x'; size])
            }),
        );
        sim.advance(ms(1));
        assert_eq!(log_texts(&sim), said);
        assert_eq!(outcomes(&sim), [outcome]);
    }
}

#[test]
fn calls_that_cannot_be_made_fail_at_once_and_have_no_callback() {
    let answering = |_: &HttpRequest| HttpAnswer::respond(200, &[], "");
    let module = caller();
    let unknown = Simulator::builder_for(&module).cluster("others", answering);
    let empty = Simulator::builder_for(&module).empty_cluster("names");
    // Only two of the three pairs: `:path` is not told.
    let lacking = calling_filter(&format!(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (i32.store8 (i32.const 328) (i32.const 88))
             (call $say (call $ask (i32.const 100))) (i32.const 0)) {SAY_RESPONSE}"#
    ));
    let lacking = Simulator::builder_for(&lacking).cluster("names", answering);
    for (builder, status, outcome) in [
        (unknown, "02", CalloutOutcome::Rejected),
        (empty, "10", CalloutOutcome::NoHosts),
        (lacking, "02", CalloutOutcome::Rejected),
    ] {
        let mut sim = open(builder);
        assert_eq!(sim.until_next_event(), None);
        sim.advance(ms(1000));
        assert_eq!(log_texts(&sim), [status]);
        assert_eq!(outcomes(&sim), [outcome]);
    }
}

#[test]
fn the_response_can_be_read_during_its_callback_only() {
    // Statuses and texts of: `:status` by name, a missing name, a map that is not
    // there; the body; then, on the tick after, body, name and pairs.
    let read = r#"
(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
  (call $say (call $act_as (i32.const 2)))
  (call $say (call $status)) (call $show)
  (call $say (call $get_header (i32.const 6) (i32.const 120) (i32.const 3) (i32.const 200) (i32.const 204)))
  (call $say (call $get_header (i32.const 7) (i32.const 120) (i32.const 3) (i32.const 200) (i32.const 204)))
  (call $say (call $get_pairs (i32.const 6) (i32.const 200) (i32.const 204)))
  (call $say (i32.load (i32.load (i32.const 200))))
  (call $say (call $body)) (call $show)
  (drop (call $tick (i32.const 5))))
(func (export "proxy_on_tick") (param i32)
  (drop (call $tick (i32.const 0)))
  (call $say (call $body)) (call $say (call $status))
  (call $say (call $get_pairs (i32.const 6) (i32.const 200) (i32.const 204)))
  (call $say (i32.load (i32.const 204))))
(func (export "proxy_on_new_connection") (param i32) (result i32)
  (drop (call $ask (i32.const 100))) (i32.const 0))"#;
    let module = calling_filter(&[READ, read].concat());
    let mut sim = open(
        Simulator::builder_for(&module).cluster("names", |_: &HttpRequest| {
            HttpAnswer::respond(204, &[], "hello")
        }),
    );
    sim.advance(ms(10));
    assert_eq!(
        log_texts(&sim),
        [
            "00", "00", "204", "01", "02", "00", "02", "00", "hello", "01", "02", "00", "00"
        ]
    );
}

#[test]
fn the_root_is_told_though_the_stream_is_gone_and_answers_keep_their_order() {
    let module = caller();
    let mut builder = Simulator::builder_for(&module).workers(2);
    // The first answer takes longer than the second.
    let mut wait = 40;
    builder = builder.cluster("names", move |_: &HttpRequest| {
        wait -= 10;
        HttpAnswer::respond(200, &[], vec![b'x'; wait as usize]).after(ms(wait))
    });
    let mut sim = builder.build().unwrap();
    let first = sim.open(peer(), local());
    sim.open(peer(), local());
    sim.client_abort(first);
    sim.advance(ms(100));
    let seen: Vec<(usize, u32, &str)> = sim
        .logs()
        .iter()
        .map(|line| (line.worker, line.context, line.text.as_str()))
        .collect();
    let expected = [
        (0, 2, "00"),
        (1, 2, "00"),
        (1, 1, "02"),
        (1, 1, "20"),
        (1, 1, "00"),
        (0, 1, "02"),
        (0, 1, "30"),
        (0, 1, "00"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_cluster_can_change_and_a_tick_goes_before_an_answer_of_the_same_time() {
    let status = Arc::new(AtomicU16::new(200));
    let shared = Arc::clone(&status);
    let module = calling_filter(&format!("{CALL_ON_TICK} {SAY_RESPONSE}"));
    let mut sim = Simulator::builder_for(&module)
        .cluster("names", move |_: &HttpRequest| {
            HttpAnswer::respond(shared.load(Ordering::Relaxed), &[], "").after(ms(10))
        })
        .build()
        .unwrap();
    sim.advance(ms(15));
    status.store(503, Ordering::Relaxed);
    sim.advance(ms(15));
    use CalloutOutcome::{Answered, Pending};
    assert_eq!(outcomes(&sim), [Answered(200), Answered(503), Pending]);
    let said = ["00", "00", "02", "00", "00", "00", "02", "00", "00"];
    assert_eq!(log_texts(&sim), said);
}

#[test]
fn a_call_dies_with_its_vm() {
    let module = calling_filter(&format!(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (drop (call $ask (i32.const 100))) (i32.const 0))
           (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) unreachable)
           {SAY_RESPONSE}"#
    ));
    let mut sim = Simulator::builder_for(&module)
        .cluster("names", |_: &HttpRequest| {
            HttpAnswer::respond(200, &[], "").after(ms(10))
        })
        .build()
        .unwrap();
    let conn = sim.open(peer(), local());
    sim.client_write(conn, b"x");
    assert_eq!(outcomes(&sim), [CalloutOutcome::Dropped]);
    sim.advance(ms(20));
    assert!(log_texts(&sim).is_empty());
    // The next VM's calls are its own.
    sim.open(peer(), local());
    sim.advance(ms(20));
    assert_eq!(log_texts(&sim), ["02", "00", "00"]);
    use CalloutOutcome::{Answered, Dropped};
    assert_eq!(outcomes(&sim), [Dropped, Answered(200)]);
}

#[test]
fn a_held_connection_goes_on_when_the_answer_says_so() {
    let module = calling_filter(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (drop (call $ask (i32.const 100))) (i32.const 1))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
             (call $say (call $act_as (i32.const 2))) (call $say (call $continue (i32.const 2))))"#,
    );
    let mut sim = Simulator::builder_for(&module)
        .cluster("names", |_: &HttpRequest| HttpAnswer::Never)
        .build()
        .unwrap();
    let conn = sim.open(peer(), local());
    sim.client_write(conn, b"EHLO a\r\n");
    sim.advance(ms(99));
    assert_eq!(
        (
            sim.server_connections(),
            sim.server_inbox(conn).bytes().len()
        ),
        (0, 0)
    );
    sim.advance(ms(1));
    assert_eq!(sim.server_connections(), 1);
    assert_eq!(sim.server_inbox(conn).bytes(), b"EHLO a\r\n");
    assert_eq!(log_texts(&sim), ["00", "00"]);
}

#[test]
fn a_limit_of_zero_is_none_and_a_negative_one_is_refused() {
    for (limit, said, outcome) in [
        ("0", "00", Some(CalloutOutcome::Answered(200))),
        ("-1", "02", None),
    ] {
        let module = calling_filter(&format!(
            r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
                 (call $say (call $ask (i32.const {limit}))) (i32.const 0))"#
        ));
        let late = HttpAnswer::respond(200, &[], "").after(ms(60_000));
        let answerer = move |_: &HttpRequest| late.clone();
        let mut sim = open(Simulator::builder_for(&module).cluster("names", answerer));
        sim.advance(ms(60_000));
        assert_eq!(log_texts(&sim), [said]);
        assert_eq!(outcomes(&sim).first(), outcome.as_ref());
    }
}

#[test]
fn a_filter_that_never_calls_leaves_no_record() {
    let mut sim = Simulator::builder_for(&filter("")).build().unwrap();
    sim.open(peer(), local());
    assert!(sim.callouts().is_empty());
}
