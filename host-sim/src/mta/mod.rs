//! A small SMTP server for demonstrations: it knows some mailboxes, counts what
//! it is asked, and never cuts a session by itself.

mod command;
mod mailboxes;
mod server;
mod session;
mod simulated;
mod stats;

pub use mailboxes::Mailboxes;
pub(crate) use server::Ending;
pub use server::{MtaError, Server, ServerOptions, raise_open_files};
pub use session::{Flow, Session};
pub use simulated::SimulatedMta;
pub use stats::{Stats, StatsSnapshot};
