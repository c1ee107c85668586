//! Several guards of one mind: what they share through a store, Redis behind Webdis, its interface
//! for HTTP.
//!
//! Nothing waits for the store. Listings are a feed (a Redis stream) that each guard follows, so
//! that one made elsewhere is known here before its client comes; after an outage or a restart a
//! guard reads on from where it was, or from the beginning. What sessions count is written in
//! batches, and the answer tells the sum over all guards: a client that spreads its guesses is
//! found out.
//!
//! - [`Follow`]: when the feed is read, and up to where it has been.
//! - [`Outbox`]: what is to be written, and what is on its way.
//! - `wire`: requests and answers.

mod follow;
mod outbox;
mod wire;

#[cfg(test)]
mod tests;

pub use follow::{Follow, Turn};
pub use outbox::{News, Outbox};
pub use wire::{Entry, Fault, Feed, FeedId, MAX_ANSWER, Totals, read_feed, read_totals, weights};
