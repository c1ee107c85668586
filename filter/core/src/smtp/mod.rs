//! SMTP (RFC 5321) as it is spoken: framing, commands, replies, and which reply answers what.
//!
//! The [`Tracker`] follows a dialogue without taking part in it. It never copies what it sees and
//! holds no policy: it says what the next client bytes are and which command a reply answers.

mod body;
mod command;
mod line;
mod place;
mod recipient;
mod reply;
mod tracker;

pub use body::{EndOfData, Progress};
pub use command::{Chunk, Command, Verb};
pub use line::{Framed, LineEnd, frame};
pub use place::{Answer, Hello, Place, ReplyQueue, TlsReply};
pub use recipient::{Recipient, certain_mailbox};
pub use reply::{EnhancedCode, InvalidReply, ReplyCode, ReplyLine, contains_ignoring_case};
pub use tracker::{Clarity, Doubt, Payload, Tracker, Unit};
