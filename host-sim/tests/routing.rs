//! Connections led to an echo in place of the server, and held ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{ROUTE, ROUTE_AT_ONCE, filter, local, log_texts, peer, simulate};
use portcullis_host_sim::{CloseReason, ConnId, Simulator};

/// Holds every connection; the tick after 50 ms routes context 2 and lets it go on.
const ROUTE_LATER: &str = r#"
(func (export "proxy_on_new_connection") (param i32) (result i32)
  (drop (call $tick (i32.const 50))) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (drop (call $tick (i32.const 0)))
  (if (i32.eqz (call $act_as (i32.const 2)))
    (then (call $route) (drop (call $continue (i32.const 2))))))"#;

/// Holds every connection; the tick after 50 ms lets context 2 go on.
const HOLD: &str = r#"
(func (export "proxy_on_new_connection") (param i32) (result i32)
  (drop (call $tick (i32.const 50))) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (drop (call $tick (i32.const 0)))
  (call $say (call $act_as (i32.const 2))) (call $say (call $continue (i32.const 2))))
(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
  (call $say (local.get 1)) (call $say (local.get 2)) (i32.const 0))
(func (export "proxy_on_downstream_connection_close") (param i32 i32) (call $say (i32.const 77)))"#;

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.25 40001 25\r\n";

fn route(callbacks: &str) -> (Simulator, ConnId) {
    let module = filter(&[ROUTE, callbacks].concat());
    let builder = Simulator::builder_for(&module).echo_cluster("refuse");
    let mut sim = builder.build().unwrap();
    let conn = sim.open(peer(), local());
    (sim, conn)
}

#[test]
fn the_proxy_line_and_everything_passed_on_come_back() {
    let (mut sim, conn) = route(ROUTE_AT_ONCE);
    assert_eq!(log_texts(&sim), ["00"]);
    assert_eq!(sim.take_client(conn).bytes, LINE);
    assert_eq!(sim.upstream_cluster(conn), Some("refuse"));
    sim.client_write(conn, b"EHLO a\r\n");
    assert_eq!(sim.take_client(conn).bytes, b"EHLO a\r\n");
    sim.server_write(conn, b"220 nobody is there\r\n");
    sim.server_half_close(conn);
    assert_eq!(sim.take_client(conn).bytes, b"");
    assert!(sim.server_inbox(conn).pieces.is_empty());
    assert_eq!(sim.server_connections(), 0);
}

#[test]
fn an_ipv6_client_has_a_line_of_its_own_and_a_half_close_is_echoed() {
    let module = filter(&[ROUTE, ROUTE_AT_ONCE].concat());
    let builder = Simulator::builder_for(&module).echo_cluster("refuse");
    let mut sim = builder.build().unwrap();
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let conn = sim.open(address("[2001:db8::7]:5555"), address("[2001:db8::25]:25"));
    sim.client_write(conn, b"QUIT\r\n");
    sim.client_half_close(conn);
    let client = sim.take_client(conn);
    assert_eq!(
        client.bytes,
        b"PROXY TCP6 2001:db8::7 2001:db8::25 5555 25\r\nQUIT\r\n"
    );
    assert!(client.ended);
    assert_eq!(sim.summary(conn).unwrap().reason, CloseReason::Finished);
}

#[test]
fn the_line_becomes_a_refusal_and_the_client_is_closed_from_the_queue() {
    let (mut sim, conn) = route(&[
        ROUTE_AT_ONCE,
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 120) (i32.const 3) (i32.const 200))) (i32.const 1))
           (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) (i32.const 1))
           (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (drop (call $set_buffer (i32.const 3) (i32.const 0) (local.get 1) (i32.const 110) (i32.const 9)))
             (drop (call $enqueue (i32.const 1) (i32.const 120) (i32.const 3)))
             (i32.const 0))
           (func (export "proxy_on_queue_ready") (param i32 i32)
             (if (i32.eqz (call $act_as (i32.const 2)))
               (then (drop (call $close (i32.const 2))))))"#,
    ].concat());
    let client = sim.take_client(conn);
    assert_eq!(
        (client.bytes.as_slice(), client.ended),
        (&b"421 bye\r\n"[..], true)
    );
    assert_eq!(sim.summary(conn).unwrap().reason, CloseReason::Filter);
    assert_eq!(sim.server_connections(), 0);
}

#[test]
fn a_held_connection_is_routed_when_it_goes_on_and_early_bytes_are_read_first() {
    // Says the sizes of what the client wrote and of what came back.
    let say = r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
        (call $say (local.get 1)) (i32.const 0))
      (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
        (call $say (local.get 1)) (i32.const 0))"#;
    let (mut sim, conn) = route(&[ROUTE_LATER, say].concat());
    sim.client_write(conn, b"EHLO a\r\n");
    assert_eq!(
        (sim.upstream_cluster(conn), sim.server_connections()),
        (None, 0)
    );
    assert!(log_texts(&sim).is_empty());
    sim.advance(Duration::from_millis(50));
    assert_eq!(log_texts(&sim), ["00", "08", "44", "08"]);
    assert_eq!(sim.take_client(conn).bytes, [LINE, b"EHLO a\r\n"].concat());
    assert_eq!(sim.upstream_cluster(conn), Some("refuse"));
    assert_eq!(sim.server_connections(), 0);
}

#[test]
fn other_connections_go_to_the_server_and_a_later_route_changes_nothing() {
    let late = r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
        (call $route) (i32.const 0))"#;
    let (mut sim, conn) = route(late);
    sim.client_write(conn, b"EHLO a\r\n");
    assert_eq!(log_texts(&sim), ["00"]);
    assert_eq!(sim.server_inbox(conn).bytes(), b"EHLO a\r\n");
    assert_eq!(
        (sim.upstream_cluster(conn), sim.server_connections()),
        (None, 1)
    );
}

#[test]
fn a_cluster_that_does_not_exist_closes_without_a_word() {
    let module = filter(&[ROUTE, ROUTE_AT_ONCE].concat());
    let mut sim = Simulator::builder_for(&module).build().unwrap();
    let conn = sim.open(peer(), local());
    let client = sim.take_client(conn);
    assert_eq!((client.bytes.as_slice(), client.ended), (&b""[..], true));
    assert_eq!(sim.summary(conn).unwrap().reason, CloseReason::NoCluster);
    assert_eq!(
        (sim.upstream_cluster(conn), sim.server_connections()),
        (None, 0)
    );
}

#[test]
fn a_client_that_leaves_while_held_is_noticed_when_the_connection_goes_on() {
    for reset in [false, true] {
        let (mut sim, conn) = simulate(HOLD);
        sim.client_write(conn, b"EHLO a\r\n");
        if reset {
            sim.client_abort(conn);
        } else {
            sim.client_half_close(conn);
        }
        sim.advance(Duration::from_millis(49));
        assert!(log_texts(&sim).is_empty(), "no callback while held");
        assert!(sim.summary(conn).is_none());
        assert_eq!(sim.server_connections(), 0);
        sim.advance(Duration::from_millis(1));
        assert_eq!(sim.server_connections(), 1, "the server is asked in vain");
        // An end that is there already is read together with the bytes before it.
        let said: &[&str] = if reset {
            &["00", "00", "08", "00", "77"]
        } else {
            &["00", "00", "08", "01"]
        };
        assert_eq!(log_texts(&sim), said);
    }
}

#[test]
fn a_held_connection_can_be_closed_from_the_root() {
    let close = HOLD.replace("$continue", "$close");
    let (mut sim, conn) = simulate(&close);
    sim.advance(Duration::from_millis(50));
    assert_eq!(log_texts(&sim), ["00", "00", "77"]);
    assert!(sim.take_client(conn).ended);
    assert_eq!(sim.server_connections(), 0);
}
