//! A simulator of Envoy as the proxy-wasm host of **network** filters.
//!
//! It loads any network filter by path, knows nothing of what the filter is
//! for, and behaves as Envoy 1.40 was measured to behave: status codes, what
//! Pause keeps and Continue lets go, closes that overtake unwritten bytes, one
//! VM per worker, queues with one consumer, shared data that never goes away.
//!
//! - [`Simulator`]: deterministic, on a virtual clock; for tests. HTTP calls go to
//!   scripted clusters ([`Builder::cluster`]). [`Builder::seed`] lets a seed choose
//!   the order, [`Builder::segments`] cuts what is written, [`for_seeds`] tries many.
//! - [`scenario`]: text dialogues played in a simulator (`host-sim replay`).
//! - [`capture`]: the SMTP sessions of pcap and pcapng files, as such dialogues.
//! - [`attack`]: a botnet and honest senders in a simulator (`host-sim attack`).
//! - `explore`, with the feature `proptest`: dialogues that are generated, and
//!   shrunk to the smallest under which a filter fails.
//! - [`serve`]: a TCP proxy around the same code (`host-sim serve`).
//! - [`mta`]: a small mail server to talk to (`host-sim mta`).
//!
//! Nothing is global: any number of simulators run in one process, each in any
//! thread.
//!
//! # A first test
//!
//! `shout.wat` is among the examples. It passes what the client says in capitals,
//! counts its octets, and logs a line every second.
//!
//! ```
//! use std::time::Duration;
//! use portcullis_host_sim::{FilterModule, Simulator};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shout.wat"));
//! # let module = FilterModule::from_bytes(&wat::parse_str(text)?)?;
//! // let module = FilterModule::from_file("shout.wasm".as_ref())?;
//! let mut sim = Simulator::builder_for(&module).plugin_config("{}").build()?;
//! let conn = sim.open("[2001:db8::7]:40001".parse()?, "[2001:db8::25]:7".parse()?);
//!
//! // Two segments, the second three seconds later.
//! sim.client_write(conn, b"Hello ");
//! sim.advance(Duration::from_secs(3));
//! sim.client_write(conn, b"world");
//! sim.client_half_close(conn);
//!
//! let server = sim.server_inbox(conn);
//! assert_eq!(server.bytes(), b"HELLO WORLD");
//! assert_eq!(server.pieces[1].at, Duration::from_secs(3));
//! assert_eq!(server.ended, Some(Duration::from_secs(3)));
//! assert_eq!(sim.metrics()["octets"], 11);
//! assert_eq!(sim.logs().len(), 3);
//! assert_eq!(sim.shared_data(b"last").as_deref(), Some(b"WORLD".as_slice()));
//! # Ok(())
//! # }
//! ```
//!
//! # A scenario
//!
//! ```
//! # use portcullis_host_sim::FilterModule;
//! use portcullis_host_sim::scenario::{PlayOptions, Scenario, play};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shout.wat"));
//! # let module = FilterModule::from_bytes(&wat::parse_str(text)?)?;
//! let scenario: Scenario = "
//! C> hello
//! S< HELLO
//! S> and hello to you
//! C< and *
//! ".parse()?;
//! let report = play(&scenario, &module, &PlayOptions::default())?;
//! assert_eq!(report.failure, None);
//! # Ok(())
//! # }
//! ```

mod abi;
pub mod attack;
mod callouts;
pub mod capture;
mod chance;
mod cli;
mod clock;
mod connection;
mod error;
pub mod explain;
#[cfg(feature = "proptest")]
pub mod explore;
mod host;
pub mod inspect;
mod listen;
mod metrics;
mod module;
pub mod mta;
mod observe;
mod plugin;
pub mod report;
mod resolver;
pub mod scenario;
mod seeds;
pub mod serve;
mod shared;
mod simulator;
mod status;
mod threads;
pub mod transcripts;
mod vm;
pub mod whatif;
mod worker;

pub use callouts::{
    Answerer, Callout, CalloutOutcome, GrpcAnswerer, GrpcCallout, GrpcEvent, GrpcHeard,
    GrpcOutcome, GrpcRequest, GrpcSaid, HttpAnswer, HttpRequest, HttpResponse,
};
pub use cli::Cli;
pub use clock::Timestamp;
pub use error::HostError;
pub use metrics::MetricValue;
pub use module::{AbiVersion, FilterModule};
pub use observe::{CloseReason, ConnId, LogLevel, LogLine, Summary, TrapReport};
pub use plugin::FailurePolicy;
pub use seeds::{Outcome, SeedError, for_seeds};
pub use simulator::{Builder, Heard, Inbox, Piece, Responder, Said, ServerState, Simulator, Taken};
