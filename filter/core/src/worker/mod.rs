//! What the sessions of one worker share.

mod closing;

pub use closing::Closing;
