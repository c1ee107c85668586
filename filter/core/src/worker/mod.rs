//! What the sessions of one worker share.
//!
//! - [`Lookups`]: DNSBL lookups: who waits for which question, what was answered, whom to ask at
//!   all.
//! - [`Sessions`]: how many each client has.
//! - [`Closing`]: closes that wait for their moment.

mod closing;
mod health;
mod known;
mod lookups;
mod sessions;
mod slots;

#[cfg(test)]
mod tests;

pub use closing::Closing;
pub use health::{Standing, TestPoint, Unfit};
pub use lookups::{
    Claim, LookUp, LookupNote, Lookups, Now, Question, Ruling, SlotId, Steps, Told, Wait,
};
pub use sessions::{Seat, Sessions};
pub use slots::MAX_ENTRIES;
