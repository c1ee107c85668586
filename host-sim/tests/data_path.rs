//! Bytes through the filter: what Pause keeps, what Continue lets go, what closes lose.

mod common;

use common::{filter, local, log_texts, pass_through, peer, simulate};
use portcullis_host_sim::{CloseReason, Simulator};

/// Logs the size and the end of every downstream callback and returns Pause.
const PAUSE: &str = r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
  (call $say (local.get 1)) (call $say (local.get 2)) (i32.const 1))"#;

/// Resumes by itself and still returns Pause, so that the buffer stays writable.
const KEEP: &str = r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
  (drop (call $continue (i32.const 2))) (i32.const 1))"#;

const CONTINUE: &str = r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
  (i32.const 0))"#;

/// On every tick, puts NOOP before whatever the client's buffer of context 2 holds.
const INJECT_ON_TICK: &str = r#"
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (drop (call $tick (i32.const 5))) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (call $say (call $act_as (i32.const 2)))
  (call $say (call $set_buffer (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 6)))
  (call $say (call $continue (i32.const 2))))"#;

/// Rewrites the server's first chunk to `421 bye`, then does `$then`.
fn last_word(then: &str, more: &str) -> String {
    format!(
        r#"(func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
          (drop (call $set_buffer (i32.const 3) (i32.const 0) (local.get 1) (i32.const 110) (i32.const 9)))
          {then} (i32.const 0)) {more}"#
    )
}

#[test]
fn a_filter_without_callbacks_changes_nothing() {
    let module = pass_through();
    let mut sim = Simulator::builder_for(&module).build().unwrap();
    let conn = sim.open(peer(), local());
    sim.client_write(conn, b"EHLO a\r\n");
    sim.server_write(conn, b"220 mx\r\n");
    sim.client_half_close(conn);
    assert_eq!(sim.server_inbox(conn).bytes(), b"EHLO a\r\n");
    assert!(sim.server_inbox(conn).ended.is_some());
    assert!(sim.summary(conn).is_none(), "the server still speaks");
    sim.server_write(conn, b"221 bye\r\n");
    sim.server_half_close(conn);
    let client = sim.take_client(conn);
    assert_eq!(
        (client.bytes.as_slice(), client.ended),
        (&b"220 mx\r\n221 bye\r\n"[..], true)
    );
    let summary = sim.summary(conn).unwrap();
    assert_eq!(summary.reason, CloseReason::Finished);
    assert_eq!((summary.bytes_received, summary.bytes_sent), (8, 17));
}

#[test]
fn paused_bytes_come_back_accumulated() {
    let (mut sim, conn) = simulate(PAUSE);
    sim.client_write(conn, b"12345678901");
    sim.client_write(conn, b"3456789012345");
    sim.client_half_close(conn);
    assert_eq!(log_texts(&sim), ["11", "00", "24", "00", "24", "01"]);
    assert_eq!(sim.server_inbox(conn).bytes(), b"");
}

#[test]
fn after_pause_a_later_callback_can_inject() {
    let (mut sim, conn) = simulate(&[KEEP, INJECT_ON_TICK].concat());
    sim.client_write(conn, b"EHLO a\r\n");
    sim.advance(std::time::Duration::from_millis(7));
    assert_eq!(sim.server_inbox(conn).bytes(), b"EHLO a\r\nNOOP\r\n");
    assert_eq!(log_texts(&sim), ["00", "00", "00"]);
    let inbox = sim.server_inbox(conn);
    let times: Vec<u128> = inbox
        .pieces
        .iter()
        .map(|piece| piece.at.as_millis())
        .collect();
    assert_eq!(times, [0, 5]);
}

#[test]
fn after_continue_or_before_the_first_bytes_it_cannot() {
    for callbacks in ["", CONTINUE] {
        let (mut sim, conn) = simulate(&[callbacks, INJECT_ON_TICK].concat());
        sim.advance(std::time::Duration::from_millis(5));
        sim.client_write(conn, b"EHLO a\r\n");
        sim.advance(std::time::Duration::from_millis(5));
        assert_eq!(log_texts(&sim), ["00", "02", "00", "00", "02", "00"]);
        assert_eq!(sim.server_inbox(conn).bytes(), b"EHLO a\r\n");
    }
}

#[test]
fn held_bytes_are_released_with_the_end_of_the_stream_and_nothing_follows_it() {
    let (mut sim, conn) = simulate(&[PAUSE, INJECT_ON_TICK].concat());
    sim.client_write(conn, b"QUIT\r\n");
    sim.client_half_close(conn);
    assert!(sim.server_inbox(conn).ended.is_none());
    sim.advance(std::time::Duration::from_millis(12));
    let server = sim.server_inbox(conn);
    assert_eq!(
        server.bytes(),
        b"NOOP\r\nQUIT\r\n",
        "the second NOOP vanishes"
    );
    assert_eq!(server.ended.map(|at| at.as_millis()), Some(5));
}

#[test]
fn a_close_inside_the_data_callback_loses_its_bytes() {
    let (mut sim, conn) = simulate(&last_word("(drop (call $close (i32.const 2)))", ""));
    sim.server_write(conn, b"550 no\r\n");
    let client = sim.take_client(conn);
    assert_eq!((client.bytes.as_slice(), client.ended), (&b""[..], true));
    assert!(sim.take_server(conn).ended, "the server's side goes too");
    assert_eq!(sim.summary(conn).unwrap().reason, CloseReason::Filter);
}

#[test]
fn a_close_from_the_own_queue_keeps_them() {
    let callbacks = last_word(
        "(drop (call $enqueue (i32.load (i32.const 200)) (i32.const 120) (i32.const 3)))",
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 120) (i32.const 3) (i32.const 200))) (i32.const 1))
           (func (export "proxy_on_queue_ready") (param i32 i32)
             (drop (call $act_as (i32.const 2))) (drop (call $close (i32.const 2))))"#,
    );
    let (mut sim, conn) = simulate(&callbacks);
    sim.server_write(conn, b"550 no\r\n");
    let client = sim.take_client(conn);
    assert_eq!(
        (client.bytes.as_slice(), client.ended),
        (&b"421 bye\r\n"[..], true)
    );
}

#[test]
fn the_server_direction_can_be_paused_but_not_resumed() {
    let (mut sim, conn) = simulate(
        r#"(func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (call $say (local.get 1)) (call $say (call $continue (i32.const 3)))
             (i32.lt_u (local.get 1) (i32.const 20)))"#,
    );
    sim.server_write(conn, b"250-first\r\n");
    assert_eq!(sim.client_inbox(conn).bytes(), b"");
    sim.server_write(conn, b"250 second\r\n");
    assert_eq!(log_texts(&sim), ["11", "12", "23", "12"]);
    assert_eq!(
        sim.client_inbox(conn).bytes(),
        b"250-first\r\n250 second\r\n"
    );
}

#[test]
fn a_reply_paused_with_the_end_of_the_stream_hangs() {
    let (mut sim, conn) = simulate(
        r#"(func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32) (i32.const 1))"#,
    );
    sim.server_write(conn, b"221 bye\r\n");
    sim.server_half_close(conn);
    let client = sim.take_client(conn);
    assert_eq!((client.bytes.len(), client.ended), (0, false));
    sim.client_half_close(conn);
    assert!(
        sim.take_client(conn).ended,
        "it ends when the client closes"
    );
}

#[test]
fn the_servers_buffer_is_out_of_reach_elsewhere() {
    let (mut sim, conn) = simulate(
        r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (call $say (call $set_buffer (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 110) (i32.const 9)))
             (call $say (call $get_buffer (i32.const 3) (i32.const 0) (i32.const 99) (i32.const 200) (i32.const 204)))
             (call $say (i32.load (i32.const 204)))
             (i32.const 0))"#,
    );
    sim.client_write(conn, b"EHLO a\r\n");
    assert_eq!(
        log_texts(&sim),
        ["02", "00", "00"],
        "refused; reads as empty"
    );
}

#[test]
fn a_paused_client_is_read_no_further_than_the_limit() {
    let module = filter(&[PAUSE, INJECT_ON_TICK].concat());
    let mut sim = Simulator::builder_for(&module)
        .read_limit(50)
        .build()
        .unwrap();
    let conn = sim.open(peer(), local());
    sim.client_write(conn, &[b'x'; 40]);
    assert!(!sim.client_is_blocked(conn));
    sim.client_write(conn, &[b'x'; 40]);
    assert!(sim.client_is_blocked(conn), "once it is passed");
    sim.client_write(conn, &[b'x'; 30]);
    assert_eq!(log_texts(&sim), ["40", "00", "80", "00"]);
    sim.advance(std::time::Duration::from_millis(5));
    assert_eq!(log_texts(&sim)[7..], ["30", "00"], "the rest is read then");
    assert_eq!(sim.server_inbox(conn).bytes().len(), 6 + 80);
}

#[test]
fn a_held_connection_asks_no_server_and_reads_nothing() {
    let (mut sim, conn) = simulate(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (drop (call $tick (i32.const 50))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $tick (i32.const 0)))
             (drop (call $act_as (i32.const 2))) (drop (call $continue (i32.const 2))))
           (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (call $say (local.get 1)) (i32.const 0))"#,
    );
    sim.client_write(conn, b"EHLO a\r\n");
    sim.client_write(conn, b"QUIT\r\n");
    sim.server_write(conn, b"not connected yet");
    assert!(log_texts(&sim).is_empty());
    sim.advance(std::time::Duration::from_millis(200));
    assert_eq!(log_texts(&sim), ["14"], "all at once, after the resume");
    assert_eq!(sim.server_inbox(conn).pieces[0].at.as_millis(), 50);
    assert_eq!(sim.until_next_tick(), None, "a period of 0 disarms");
    assert_eq!(sim.client_inbox(conn).bytes(), b"");
}

#[test]
fn a_reset_reaches_the_filter_and_the_other_side() {
    let callbacks = r#"(func (export "proxy_on_downstream_connection_close") (param i32 i32)
      (call $say (local.get 1)))"#;
    let (mut sim, conn) = simulate(callbacks);
    sim.client_abort(conn);
    assert!(sim.take_server(conn).ended);
    assert_eq!(sim.summary(conn).unwrap().reason, CloseReason::ClientReset);
    let second = sim.open(peer(), local());
    sim.server_abort(second);
    assert!(sim.take_client(second).ended);
    assert_eq!(
        sim.summary(second).unwrap().reason,
        CloseReason::ServerReset
    );
    assert_eq!(
        log_texts(&sim),
        ["02", "01"],
        "by the remote side, by the host"
    );
}
