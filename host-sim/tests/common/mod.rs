//! Small filters written in WebAssembly text, each showing one behaviour.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::net::SocketAddr;

use portcullis_host_sim::{ConnId, FilterModule, Simulator};

/// Imports, an allocator that never frees, and `$say`, which logs a number of two digits.
const PRELUDE: &str = r#"
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
(import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
(import "env" "proxy_set_effective_context" (func $act_as (param i32) (result i32)))
(import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
(import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
(import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
(import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
(memory (export "memory") 16)
(global $heap (mut i32) (i32.const 65536))
(func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
  global.get $heap
  (global.set $heap (i32.add (global.get $heap) (local.get $size))))
(func $say (param $n i32)
  (i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.div_u (local.get $n) (i32.const 10))))
  (i32.store8 (i32.const 1) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
  (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2))))
(func (export "proxy_on_context_create") (param i32 i32))
"#;

/// Texts the filters use, by address: 100 `NOOP\r\n`, 110 `421 bye\r\n`, 120 `key`,
/// 125 `value`, 130 `verdict`, 140 `source.address` as a path.
const DATA: &str = r#"
(data (i32.const 100) "NOOP\r\n")
(data (i32.const 110) "421 bye\r\n")
(data (i32.const 120) "key")
(data (i32.const 125) "value")
(data (i32.const 130) "verdict")
(data (i32.const 140) "source\00address\00")
"#;

/// Compiles a filter with these callbacks.
pub(crate) fn filter(callbacks: &str) -> FilterModule {
    let text = format!("(module {PRELUDE} {DATA} {callbacks})");
    FilterModule::from_bytes(&wat::parse_str(text).unwrap()).unwrap()
}

/// A filter that does nothing.
pub(crate) fn pass_through() -> FilterModule {
    filter("")
}

pub(crate) fn peer() -> SocketAddr {
    "203.0.113.7:40001".parse().unwrap()
}

pub(crate) fn local() -> SocketAddr {
    "192.0.2.25:25".parse().unwrap()
}

/// A simulation with one worker and one open connection.
pub(crate) fn simulate(callbacks: &str) -> (Simulator, ConnId) {
    let mut sim = Simulator::builder_for(&filter(callbacks)).build().unwrap();
    let conn = sim.open(peer(), local());
    (sim, conn)
}

pub(crate) fn log_texts(sim: &Simulator) -> Vec<&str> {
    sim.logs().iter().map(|line| line.text.as_str()).collect()
}
