//! DNS blacklists: sites as an operator writes them, the questions asked of them, and what their
//! answers mean.
//!
//! Nothing here sends or waits. [`Zones`] says whom to ask, [`query_name`] and [`question`] what,
//! [`request`] how over HTTP; [`check_response`], [`read_answer`] and [`read_text`] judge what
//! comes back.

mod doh;
mod error;
mod fault;
mod filter;
mod message;
mod name;
mod reserved;
mod site;
mod text;
mod zones;

pub use doh::{MAX_BODY, Method, Request, check_response, request};
pub use error::SiteError;
pub use fault::Fault;
pub use message::{Answer, RecordType, question, read_answer, read_text};
pub use name::query_name;
pub use reserved::is_reserved;
pub use site::{MAX_WEIGHT, Site};
pub use zones::Zones;
