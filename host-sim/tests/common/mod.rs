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
(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
(import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_call_foreign_function"
  (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_http_call"
  (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_value"
  (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_pairs" (func $get_pairs (param i32 i32 i32) (result i32)))
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

/// `$ask` calls the cluster `names` with the body `value` and a time limit in
/// milliseconds, and gives the status. The headers are at 300 (`:path` at 328),
/// the name `:status` is at 290.
const ASK: &str = r#"
(data (i32.const 280) "names")
(data (i32.const 290) ":status")
(data (i32.const 300) "\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00\07\00\00\00\03\00\00\00")
(data (i32.const 328) ":path\00/\00:authority\00a\00:method\00GET\00")
(func $ask (param $limit i32) (result i32)
  (call $http_call (i32.const 280) (i32.const 5) (i32.const 300) (i32.const 61)
    (i32.const 125) (i32.const 5) (i32.const 0) (i32.const 0) (local.get $limit) (i32.const 240)))
"#;

/// Compiles a filter with these callbacks, which may call `$ask`.
pub(crate) fn calling_filter(callbacks: &str) -> FilterModule {
    filter(&[ASK, callbacks].concat())
}

/// `$route` sets `envoy.tcp_proxy.cluster` to `refuse` and says the status.
pub(crate) const ROUTE: &str = r#"
(data (i32.const 400) "set_envoy_filter_state")
(data (i32.const 430) "\0a\17envoy.tcp_proxy.cluster\12\06refuse")
(func $route (call $say (call $foreign (i32.const 400) (i32.const 22)
  (i32.const 430) (i32.const 33) (i32.const 200) (i32.const 204))))"#;

/// Routes every connection as it comes.
pub(crate) const ROUTE_AT_ONCE: &str = r#"
(func (export "proxy_on_new_connection") (param i32) (result i32) (call $route) (i32.const 0))"#;

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
