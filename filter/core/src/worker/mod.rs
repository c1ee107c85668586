//! What the sessions of one worker share.
//!
//! - [`Lookups`]: DNSBL lookups: who waits for which question, what was answered, whom to ask at
//!   all.
//! - [`Roster`]: the live sessions of each client.
//! - [`crew`]: the workers of one host.
//! - [`Closing`]: closes that wait for their moment.
//! - [`Timers`]: what is to be done about connections at some time.

mod closing;
pub mod crew;
mod health;
mod known;
mod lookups;
mod roster;
mod slots;
mod timers;

#[cfg(test)]
mod tests;

pub use closing::Closing;
pub use health::{Standing, TestPoint, Unfit};
pub use lookups::{
    Claim, LookUp, LookupNote, Lookups, Now, Question, Ruling, SlotId, Steps, Tally, Told, Wait,
};
pub use roster::{Roster, Seat};
pub use slots::MAX_ENTRIES;
pub use timers::Timers;
