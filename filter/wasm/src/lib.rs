//! Portcullis as a proxy-wasm network filter for Envoy.
//!
//! This crate translates: callbacks become inputs of `portcullis_core::session`, its effects
//! become hostcalls. It decides nothing.
//!
//! - `host`: the hostcalls whose statuses matter, none of which can panic.
//! - `root`: one worker: configuration, its queue, its tick.
//! - `stream`: one connection.
//! - `worker`: what root and streams of one worker share.
//! - `metrics`: counters by name.

#![allow(
    missing_docs,
    reason = "the entry point is made by `proxy_wasm::main!`"
)]

mod host;
mod metrics;
mod root;
mod stream;
mod worker;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}}
