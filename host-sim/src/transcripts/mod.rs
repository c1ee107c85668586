//! Sessions that a filter wrote down: read out of an access log, and replayed together.
//!
//! A line of the log is a JSON object. `transcript` in it is the session as a
//! [scenario](crate::scenario), and one of its other fields, an object, the filter's record.

mod blacklists;
mod carrier;
mod log;
mod recorded;
mod replay;

pub use log::{Choice, LogError, Transcript, read};
pub use replay::{Replay, Replayed};
