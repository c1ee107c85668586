//! What we think of a session: the configuration, what counts as a rejected recipient, the rules
//! and their verdicts, and the reply texts.

mod config;
mod envelope;
mod error;
mod network;
mod rejection;
mod reply_text;
mod rules;
mod verdict;

pub use config::{
    CloseConfig, Config, DesyncMode, ExemptConfig, LimitsConfig, Metering, Mode, RcptConfig,
    RepliesConfig, ResetConfig, ResetMode, SmugglingMode,
};
pub use error::{ConfigError, ConfigErrors};
pub use network::Networks;
pub use rejection::{RcptReply, RejectionPatterns};
pub use reply_text::ReplyText;
pub use rules::{Policy, Replies};
pub use verdict::{Counts, Rule, Verdict};
