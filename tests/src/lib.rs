//! Everything that stands Portcullis up for real: the launcher behind `make run`, the attack behind
//! `make demo`, and what the end-to-end tests are built from.
//!
//! The types follow one pattern: a description (plain data) is started into a running thing, and
//! dropping the running thing ends its processes. [`envoy::EnvoyConfig`] starts into
//! [`envoy::Envoy`], [`host_sim::Mta`] into [`host_sim::HostSim`]. Every wait has a deadline, every
//! port is loopback.

pub mod browser;
pub mod deadline;

pub mod demo;
pub mod dnsbl;
pub mod envoy;
mod error;
pub mod exim;
pub mod fleet;
pub mod host_sim;
pub mod kubernetes;

pub mod launch;
pub mod ledger;
pub mod markdown;
pub mod paths;

pub mod postfix;
pub mod process;
pub mod prometheus;
pub mod proxy_header;
pub mod smtp;
pub mod soak;
pub mod stand;
pub mod status_page;
pub mod tls;

pub use error::Error;
