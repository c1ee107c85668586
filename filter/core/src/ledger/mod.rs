//! Whom we list: what is remembered of clients over all their sessions.
//!
//! - [`Entry`]: what one client has done: a score, a streak, deliveries, a listing.
//! - [`Terms`]: what of it makes a listing, and what makes a client known for good mail.
//! - [`Slot`]: where workers share entries: a bounded number of them in each of a fixed number of
//!   slots.
//! - [`Survey`]: how many clients all slots hold.
//! - [`Account`]: what the live sessions of one client on one worker have in common.
//! - [`Watch`]: what all sessions of one worker have in common: names known to be unknown, and
//!   whether an attack is under way.

mod account;
mod detector;
mod entry;
mod slot;
mod survey;
mod terms;
mod unknown;
mod watch;

#[cfg(test)]
mod tests;

pub use account::{Account, News, Row, Streak, Turn};
pub use detector::{Alert, Detector, Heard, Signs};
pub use entry::{Entry, Listing};
pub use slot::{Evicted, MAX_ENTRIES, Posted, Slot, number_of};
pub use survey::{Census, Survey};
pub use terms::{Reason, Terms};
pub use unknown::{Remember, Unknown};
pub use watch::Watch;
