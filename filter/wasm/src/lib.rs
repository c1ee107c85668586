//! Portcullis as a proxy-wasm network filter for Envoy.
//!
//! This crate translates: callbacks become inputs of `portcullis_core::session`, its effects
//! become hostcalls. It decides nothing.
//!
//! - `host`: the hostcalls whose statuses matter, none of which can panic.
//! - `root`: one worker: configuration, its queue, its tick.
//! - `desk`: its DNSBL lookups: questions out, answers in, connections let on or refused.
//! - `ledger`: what is remembered of clients, and what follows when one is listed.
//! - `fleet`: what several guards share.
//! - `stream`: one connection as the host sees it.
//! - `connection`: what passes through it.
//! - `door`: what becomes of a connection before its first byte.
//! - `notes`: what sessions and lookups have to tell, logged and counted.
//! - `transcripts`: when sessions are written down, and what they are told for it.
//! - `worker`: what root and streams of one worker share.
//! - `metrics`: counters by name.

#![allow(
    missing_docs,
    reason = "the entry point is made by `proxy_wasm::main!`"
)]

mod connection;
mod desk;
mod door;
mod fleet;
mod host;
mod ledger;
mod metrics;
mod notes;
mod root;
mod stream;
mod transcripts;
mod worker;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}}
