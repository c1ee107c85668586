//! Waiting for something outside this process, never longer than said.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// How long a local process may take for anything; generous, since two cores may be shared with a
/// compiler.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks at a condition that nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What one look at a condition found.
#[derive(Debug)]
pub enum Seen<T> {
    /// The condition holds.
    Done(T),
    /// Not yet; the text says what was seen, for the error message.
    NotYet(String),
}

/// Looks until the condition holds and returns its value.
///
/// # Errors
/// [`Error::Late`] with the last thing seen once `within` has passed, or the error of a look.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<Seen<T>, Error>,
) -> Result<T, Error> {
    let end = Instant::now() + within;
    loop {
        match look()? {
            Seen::Done(value) => return Ok(value),
            Seen::NotYet(_) if Instant::now() < end => thread::sleep(LOOK_AGAIN),
            Seen::NotYet(seen) => {
                let hint = if seen.is_empty() {
                    seen
                } else {
                    format!("; seen: {seen}")
                };
                return Err(Error::Late {
                    what: what.into(),
                    within,
                    hint,
                });
            }
        }
    }
}
