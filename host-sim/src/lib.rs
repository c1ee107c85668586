//! A simulator of Envoy as the proxy-wasm host of **network** filters.
//!
//! It loads any network filter by path, knows nothing of what the filter is
//! for, and behaves as Envoy 1.40 was measured to behave: status codes, what
//! Pause keeps and Continue lets go, closes that overtake unwritten bytes, one
//! VM per worker, queues with one consumer, shared data that never goes away.
//!
//! - [`Simulator`]: deterministic, on a virtual clock; for tests. HTTP calls go to
//!   scripted clusters ([`Builder::cluster`]). [`Builder::seed`] lets a seed choose
//!   the order, [`for_seeds`] tries many.
//! - [`scenario`]: text dialogues played in a simulator (`host-sim replay`).
//! - [`capture`]: the SMTP sessions of pcap and pcapng files, as such dialogues.
//! - [`serve`]: a TCP proxy around the same code (`host-sim serve`).
//! - [`mta`]: a small mail server to talk to (`host-sim mta`).

mod abi;
mod callouts;
pub mod capture;
mod chance;
mod cli;
mod clock;
mod connection;
mod error;
mod host;
mod listen;
mod module;
pub mod mta;
mod observe;
mod plugin;
pub mod scenario;
mod seeds;
pub mod serve;
mod shared;
mod simulator;
mod status;
mod vm;
mod worker;

pub use callouts::{Answerer, Callout, CalloutOutcome, HttpAnswer, HttpRequest, HttpResponse};
pub use cli::Cli;
pub use clock::Timestamp;
pub use error::HostError;
pub use module::FilterModule;
pub use observe::{CloseReason, ConnId, LogLevel, LogLine, Summary, TrapReport};
pub use seeds::{Outcome, SeedError, for_seeds};
pub use simulator::{Builder, Heard, Inbox, Piece, Responder, Said, Simulator, Taken};
