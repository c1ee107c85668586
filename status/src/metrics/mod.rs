//! What Envoy's metrics say of the guard.

mod exposition;
mod history;
mod reading;

pub(crate) use history::{History, Line};
pub(crate) use reading::{NoGuard, Reading, Trouble};
