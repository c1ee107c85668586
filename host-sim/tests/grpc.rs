//! gRPC calls to scripted clusters, on the virtual clock.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::time::Duration;

use common::{local, log_texts, peer};
use portcullis_host_sim::{
    FilterModule, GrpcEvent, GrpcHeard, GrpcOutcome, GrpcRequest, GrpcSaid, Simulator,
};

/// Calls `s/Ask` of the cluster `limits` on its first connection, with the message `value`
/// and a limit of 100 ms, and says the status; then what is received, or the status that
/// the call is closed with.
fn caller() -> FilterModule {
    let text = r#"(module
      (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
      (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_grpc_call" (func $call
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (global $free (mut i32) (i32.const 65536))
      (data (i32.const 100) "limitssAskvalue")
      (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
        global.get $free
        (global.set $free (i32.add (global.get $free) (local.get $size))))
      (func $say (param $n i32)
        (i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.div_u (local.get 0) (i32.const 10))))
        (i32.store8 (i32.const 1) (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10))))
        (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2))))
      (func (export "proxy_on_new_connection") (param i32) (result i32)
        (call $say (call $call (i32.const 100) (i32.const 6) (i32.const 106) (i32.const 1)
          (i32.const 107) (i32.const 3) (i32.const 0) (i32.const 0)
          (i32.const 110) (i32.const 5) (i32.const 100) (i32.const 240)))
        (i32.const 0))
      (func (export "proxy_on_grpc_receive") (param i32 i32 i32)
        (drop (call $get (i32.const 5) (i32.const 0) (i32.const 99) (i32.const 200) (i32.const 204)))
        (drop (call $log (i32.const 2) (i32.load (i32.const 200)) (i32.load (i32.const 204)))))
      (func (export "proxy_on_grpc_close") (param i32 i32 i32) (call $say (local.get 2))))"#;
    FilterModule::from_bytes(&wat::parse_str(text).unwrap()).unwrap()
}

fn run(said: impl Fn(&GrpcRequest, GrpcHeard<'_>) -> GrpcSaid + Send + 'static) -> Simulator {
    let builder = Simulator::builder_for(&caller()).grpc_cluster("limits", said);
    let mut sim = builder.build().unwrap();
    sim.open(peer(), local());
    assert_eq!(log_texts(&sim), ["00"], "no answer inside the call");
    sim
}

#[test]
fn an_answer_comes_at_its_time() {
    let mut sim = run(|request, heard| match heard {
        GrpcHeard::Message(message) => {
            assert_eq!(
                (request.service.as_str(), request.method.as_str()),
                ("s", "Ask")
            );
            GrpcSaid::message(message)
                .and_close(0, "")
                .after(Duration::from_millis(30))
        }
        GrpcHeard::Opened | GrpcHeard::Ended => GrpcSaid::nothing(),
    });
    sim.advance(Duration::from_millis(29));
    assert_eq!(sim.grpc_callouts()[0].outcome, GrpcOutcome::Open);
    sim.advance(Duration::from_millis(1));
    assert_eq!(log_texts(&sim), ["00", "value"]);
    let calls = sim.grpc_callouts();
    assert_eq!((calls.len(), calls[0].outcome), (1, GrpcOutcome::Answered));
    assert_eq!(calls[0].sent, [b"value"]);
    assert_eq!(calls[0].request.timeout, Some(Duration::from_millis(100)));
    assert_eq!(sim.until_next_event(), None, "nothing follows");
}

#[test]
fn what_fails_is_closed_with_a_status() {
    let table = [
        (GrpcSaid::close(7, "not you"), 7, 1),
        (GrpcSaid::nothing().and(GrpcEvent::Reset), 14, 1),
        (GrpcSaid::nothing().and(GrpcEvent::Refused), 14, 1),
        (GrpcSaid::message("m").and(GrpcEvent::Broken), 13, 1),
        (GrpcSaid::nothing(), 14, 100),
    ];
    for (said, status, after) in table {
        let mut sim = run(move |_, heard| match heard {
            GrpcHeard::Opened => said.clone(),
            GrpcHeard::Message(_) | GrpcHeard::Ended => GrpcSaid::nothing(),
        });
        sim.advance(Duration::from_millis(after));
        assert_eq!(log_texts(&sim), ["00".to_owned(), format!("{status:02}")]);
        let outcome = sim.grpc_callouts()[0].outcome;
        assert_eq!(outcome, GrpcOutcome::Closed(status));
    }
}
