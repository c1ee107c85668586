//! DNS blocklists for real: their server, a resolver that speaks DNS over HTTPS before it, and a
//! scripted resolver for what a real one does only in its bad hours.
//!
//! [`Rbldnsd`] serves zones, [`Resolver`] starts a [`DohServer`] before it from the very files in
//! `envoy/dnsbl`. [`FakeDoh`] answers each question as a test tells it.

mod client;
mod fake;
mod gate;
mod message;
mod ports;
mod rbldnsd;
mod resolver;
mod scripted;
mod zone;

pub use client::{DohAnswer, ask};
pub use fake::{FakeDoh, Response, Then};
pub use gate::{Gate, TESTERS, Told, asking, by_last_octet, crowd, of_list, take_leave};
pub use message::{Question, Record, Reply};
pub use ports::free as free_port;
pub use rbldnsd::Rbldnsd;
pub use resolver::{DohServer, Resolver};
pub use scripted::{Asked, Scripted, scripted, test_point};
pub use zone::{Zone, query_name};

/// What a DNS message travels as (RFC 8484 section 6).
const MEDIA_TYPE: &str = "application/dns-message";
