//! Simulations of very many connections: who has something to read, and what is let go.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::time::Duration;

use common::{filter, local, log_texts, pass_through, peer};
use portcullis_host_sim::{CloseReason, FilterModule, Simulator};

const SECOND: Duration = Duration::from_secs(1);

/// The server's words reach a client when some time has gone by.
fn slow_server(module: &FilterModule) -> Simulator {
    let delay = Duration::from_millis(10);
    let builder = Simulator::builder_for(module).seed(1);
    builder.server_delay(delay..=delay).build().unwrap()
}

#[test]
fn the_clock_stops_where_a_client_hears_something() {
    let mut sim = slow_server(&pass_through());
    let clients = [0, 1, 2].map(|_| sim.open(peer(), local()));
    assert!(!sim.advance_until_heard(SECOND), "nobody has said anything");
    assert_eq!(sim.elapsed(), SECOND);

    let [_, second, third] = clients;
    sim.server_write(third, b"c");
    assert!(sim.advance_until_heard(SECOND));
    let waited = sim.elapsed() - SECOND;
    assert!(waited >= Duration::from_millis(10) && waited < Duration::from_millis(11));
    sim.server_write(second, b"b");
    sim.server_write(second, b"b");
    assert!(sim.advance_until_heard(SECOND), "the third is still unread");
    sim.advance(Duration::from_millis(100));
    assert_eq!(sim.take_heard(), [third, second], "each once, in order");
    assert!(sim.take_heard().is_empty());
    assert_eq!(sim.take_client(second).bytes, b"bb");
    sim.server_write(second, b"b");
    assert!(sim.advance_until_heard(SECOND));
    assert_eq!(sim.take_heard(), [second], "told anew of what is new");
}

#[test]
fn what_is_over_can_be_forgotten() {
    let mut sim = slow_server(&pass_through());
    let client = sim.open(peer(), local());
    sim.advance(SECOND);
    assert!(sim.is_led_to_server(client));
    assert!(sim.forget(client).is_none(), "it is not over");
    sim.client_abort(client);
    sim.advance(SECOND);
    assert_eq!(sim.take_heard(), [client], "the end is news, too");
    let summary = sim.forget(client).unwrap();
    assert_eq!(summary.reason, CloseReason::ClientReset);
    assert!(sim.summary(client).is_none() && sim.forget(client).is_none());
    assert!(!sim.is_led_to_server(client));
}

#[test]
fn logs_can_be_taken_away() {
    let module = filter(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (i32.const 7)) (i32.const 0))"#,
    );
    let mut sim = Simulator::builder_for(&module).build().unwrap();
    sim.open(peer(), local());
    assert_eq!(log_texts(&sim), ["07"]);
    assert_eq!(sim.take_logs().len(), 1);
    assert!(sim.logs().is_empty());
    sim.open(peer(), local());
    assert_eq!(log_texts(&sim), ["07"]);
}

#[test]
fn the_digest_tells_traces_apart() {
    let run = |words: &[u8]| {
        let mut sim = slow_server(&pass_through());
        let client = sim.open(peer(), local());
        sim.client_write(client, words);
        sim.advance(SECOND);
        sim.trace_digest()
    };
    assert_eq!(run(b"a"), run(b"a"));
    assert_ne!(run(b"a"), run(b"b"));
}

#[test]
fn a_filter_without_callbacks_lets_everything_pass() {
    let module = FilterModule::without_callbacks().unwrap();
    let mut sim = Simulator::builder_for(&module).build().unwrap();
    let client = sim.open(peer(), local());
    sim.server_write(client, b"220 mx\r\n");
    sim.client_write(client, b"EHLO c\r\n");
    assert_eq!(sim.take_client(client).bytes, b"220 mx\r\n");
    assert_eq!(sim.take_server(client).bytes, b"EHLO c\r\n");
}
