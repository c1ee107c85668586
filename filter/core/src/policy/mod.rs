//! What we think of a session: the configuration, what counts as a rejected recipient, the rules
//! and their verdicts, and the reply texts.

mod check;
mod config;
mod envelope;
mod error;
mod listing;
mod network;
mod observe;
mod rejection;
mod replies;
mod reply_text;
mod rules;
mod sites;
mod terms;
mod traps;
mod value;
mod verdict;

pub use config::{
    AnswerMode, AttackConfig, BreakerConfig, CacheConfig, ClientConfig, CloseConfig, Config,
    DesyncMode, DetectMode, DnsblConfig, DohMethod, ExemptConfig, FleetConfig, LedgerConfig,
    LimitsConfig, ListedConfig, ListingConfig, LookupMode, Metering, Mode, ObserveConfig,
    RcptConfig, RecordConfig, RecordMode, RefusalConfig, RepliesConfig, ReservedMode, ResetConfig,
    ResetMode, SessionsConfig, SmugglingMode, StandingConfig, StartTlsMode, TarpitConfig, TextMode,
    TranscriptMode, TranscriptsConfig, TrapsConfig, TtlConfig, UnknownConfig,
};
pub use error::{ConfigError, ConfigErrors};
pub use listing::{Codes, Listed, Listing};
pub use network::Networks;
pub use observe::Transcribe;
pub use rejection::{RcptReply, RejectionPatterns};
pub use reply_text::{Facts, ReplyText};
pub use rules::Policy;
pub(crate) use value::Value;
pub use verdict::{Counts, Rule, Verdict};
