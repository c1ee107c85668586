//! Portcullis without a host: bytes of an SMTP session become protocol events, events become
//! verdicts, verdicts become effects.
//!
//! Nothing in this crate reads a clock, opens a socket or calls a host: time comes in with every
//! input, and what is to be done comes out as plain data ([`session::Effects`]).
//!
//! - [`smtp`]: what is being said: line framing, commands, replies, the tracker that pairs them.
//! - [`dnsbl`]: whom others list: DNS blacklists, what to ask them and what their answers mean.
//! - [`ledger`]: whom we list: what is remembered of clients over all their sessions.
//! - [`fleet`]: what several guards share.
//! - [`metrics`]: what is counted.
//! - [`client`]: who says it: all addresses of one prefix.
//! - [`policy`]: what we think of it: configuration, what counts as a rejection, rules, verdicts.
//! - [`session`]: one connection, the only place that joins the two.
//! - [`worker`]: what sessions of one worker share: closes that wait for their moment.
#![forbid(unsafe_code)]

pub mod client;
pub mod dnsbl;
pub mod fleet;
pub mod ledger;
pub mod metrics;
pub mod policy;
pub mod session;
pub mod smtp;
pub mod worker;
