//! The policy: a configuration that has been checked, and the rules it makes.

use super::config::{Config, DesyncMode, Metering, Mode, RepliesConfig, ResetMode, SmugglingMode};
use super::envelope;
use super::error::{ConfigError, ConfigErrors};
use super::network::Networks;
use super::rejection::RejectionPatterns;
use super::reply_text::ReplyText;
use super::verdict::{Counts, Rule};
use std::net::IpAddr;

/// The reply lines of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    rcpt_consecutive: ReplyText,
    rcpt_total: ReplyText,
    wasted: ReplyText,
    reset_strict: ReplyText,
    metered: ReplyText,
    desync: ReplyText,
}

/// A configuration that holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    config: Config,
    networks: Networks,
    rejections: RejectionPatterns,
    replies: Replies,
}

impl Policy {
    /// Reads a configuration as the host hands it over: JSON, or the bytes of a
    /// `google.protobuf.Struct`. Nothing at all is the default policy.
    ///
    /// # Errors
    /// [`ConfigErrors`] naming each faulty field, its value and what would do.
    pub fn read(bytes: &[u8]) -> Result<Self, ConfigErrors> {
        let shape = |path: String, error: serde_json::Error| ConfigErrors::Shape {
            path,
            message: error.to_string(),
        };
        let value = envelope::open(bytes).map_err(|error| shape(".".to_owned(), error))?;
        let config = serde_path_to_error::deserialize(value)
            .map_err(|error| shape(error.path().to_string(), error.into_inner()))?;
        Self::new(config)
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigErrors::Values`] naming each faulty field.
    pub fn new(config: Config) -> Result<Self, ConfigErrors> {
        let mut errors = faults(&config);
        let replies = Replies::new(&config.replies, &mut errors);
        let networks = &config.exempt.networks;
        let networks = Networks::read("exempt.networks", networks, &mut errors);
        match (replies, errors.is_empty()) {
            (Some(replies), true) => Ok(Self {
                networks,
                rejections: RejectionPatterns::new(&config.rcpt.rejected_text),
                replies,
                config,
            }),
            _ => Err(ConfigErrors::Values(errors)),
        }
    }

    /// The configuration this policy was made of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether verdicts are carried out.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.config.mode == Mode::Enforce
    }

    /// Whether a client at this address is left alone.
    #[must_use]
    pub fn exempts(&self, client: IpAddr) -> bool {
        self.networks.contain(client)
    }

    /// What counts as a rejected recipient.
    #[must_use]
    pub fn rejections(&self) -> &RejectionPatterns {
        &self.rejections
    }

    /// How many recipients a session may still get wrong before a rule closes it; the last of
    /// them is the one that does.
    #[must_use]
    pub fn budget(&self, counts: &Counts) -> u32 {
        let left = |limit: Option<u32>, used| limit.map_or(u32::MAX, |l| l.saturating_sub(used));
        let rcpt = &self.config.rcpt;
        left(rcpt.max_consecutive, counts.consecutive).min(left(rcpt.max_total, counts.rejected))
    }

    /// The rule met by the recipient that has just been rejected.
    #[must_use]
    pub fn after_rejection(&self, counts: &Counts) -> Option<Rule> {
        let met = |limit: Option<u32>, count| limit.is_some_and(|limit| count >= limit);
        let rcpt = &self.config.rcpt;
        if met(rcpt.max_total, counts.rejected) {
            Some(Rule::RcptTotal)
        } else if met(rcpt.max_consecutive, counts.consecutive) {
            Some(Rule::RcptConsecutive)
        } else {
            None
        }
    }

    /// The rule met by a rejection that pairs with no command: what lies between two of them is
    /// not known, so only the total counts.
    #[must_use]
    pub fn after_unpaired_rejection(&self, counts: &Counts) -> Option<Rule> {
        let limit = self.config.rcpt.max_total;
        let met = limit.is_some_and(|limit| counts.rejected >= limit);
        met.then_some(Rule::RcptTotal)
    }

    /// The rule met by the reset that has just wasted a transaction.
    #[must_use]
    pub fn after_wasted_reset(&self, counts: &Counts) -> Option<Rule> {
        let reset = &self.config.reset;
        let met = reset.mode != ResetMode::Off
            && counts.wasted >= reset.max_wasted
            && counts.rejected >= reset.min_rejected;
        met.then_some(Rule::Wasted)
    }

    /// The rule met by any RSET.
    #[must_use]
    pub fn on_rset(&self) -> Option<Rule> {
        (self.config.reset.mode == ResetMode::Strict).then_some(Rule::StrictReset)
    }

    /// The rule met when replies and commands no longer pair.
    #[must_use]
    pub fn on_desync(&self) -> Option<Rule> {
        (self.config.desync == DesyncMode::Close).then_some(Rule::Desync)
    }

    /// The rule met by a message that servers may end at different places.
    #[must_use]
    pub fn on_doubtful_end(&self) -> Option<Rule> {
        (self.config.smuggling == SmugglingMode::Close).then_some(Rule::Smuggling)
    }

    /// Whether RCPTs beyond the budget wait or are refused.
    #[must_use]
    pub fn metering(&self) -> Metering {
        self.config.rcpt.metering
    }

    /// The last line a client reads when `rule` closes its session.
    #[must_use]
    pub fn last_word(&self, rule: Rule, client: Option<IpAddr>, counts: &Counts) -> Vec<u8> {
        let replies = &self.replies;
        let text = match rule {
            Rule::RcptConsecutive => &replies.rcpt_consecutive,
            Rule::RcptTotal | Rule::HiddenRcpts => &replies.rcpt_total,
            Rule::Wasted => &replies.wasted,
            Rule::StrictReset => &replies.reset_strict,
            Rule::Desync | Rule::Smuggling => &replies.desync,
        };
        text.line(client, counts)
    }

    /// The reply to a RCPT beyond the budget that does not wait.
    #[must_use]
    pub fn metered(&self, client: Option<IpAddr>, counts: &Counts) -> Vec<u8> {
        self.replies.metered.line(client, counts)
    }
}

impl Replies {
    fn new(config: &RepliesConfig, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let mut read = |name: &str, text: &str| match ReplyText::parse(text) {
            Ok(text) => Some(text),
            Err(expected) => {
                let path = format!("replies.{name}");
                errors.push(ConfigError::new(&path, &expected, format!("{text:?}")));
                None
            }
        };
        let rcpt_consecutive = read("rcpt_consecutive", &config.rcpt_consecutive);
        let rcpt_total = read("rcpt_total", &config.rcpt_total);
        let wasted = read("wasted", &config.wasted);
        let reset_strict = read("reset_strict", &config.reset_strict);
        let metered = read("metered", &config.metered);
        let desync = read("desync", &config.desync);
        Some(Self {
            rcpt_consecutive: rcpt_consecutive?,
            rcpt_total: rcpt_total?,
            wasted: wasted?,
            reset_strict: reset_strict?,
            metered: metered?,
            desync: desync?,
        })
    }
}

/// Every value of `config` that is out of its range.
fn faults(config: &Config) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut range = |path: &str, value: Option<u32>, min: u32, max: u32| {
        if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
            errors.push(ConfigError::new(path, &format!("{min}..={max}"), value));
        }
    };
    let (rcpt, reset, limits) = (&config.rcpt, &config.reset, &config.limits);
    range("rcpt.max_consecutive", rcpt.max_consecutive, 1, 1000);
    range("rcpt.max_total", rcpt.max_total, 1, 100_000);
    range("reset.max_wasted", Some(reset.max_wasted), 1, 1000);
    range("reset.min_rejected", Some(reset.min_rejected), 1, 1000);
    range("close.linger_ms", Some(config.close.linger_ms), 0, 5000);
    range("limits.command_line", Some(limits.command_line), 512, 65536);
    range("limits.reply", Some(limits.reply), 512, 65536);
    range("limits.held", Some(limits.held), 1024, 1_048_576);
    range("limits.owed_replies", Some(limits.owed_replies), 16, 10_000);
    if limits.held <= limits.command_line {
        let expected = format!("more than limits.command_line ({})", limits.command_line);
        errors.push(ConfigError::new("limits.held", &expected, limits.held));
    }
    let networks = config.exempt.networks.len();
    if networks > 1000 {
        let error = ConfigError::new("exempt.networks", "at most 1000 networks", networks);
        errors.push(error);
    }
    errors.extend(text_faults(&rcpt.rejected_text));
    errors
}

fn text_faults(texts: &[String]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if texts.len() > 64 {
        let error = ConfigError::new("rcpt.rejected_text", "at most 64 texts", texts.len());
        errors.push(error);
    }
    for (index, text) in texts.iter().enumerate() {
        if text.trim().is_empty() || text.len() > 128 {
            let path = format!("rcpt.rejected_text[{index}]");
            let got = format!("{text:?}");
            errors.push(ConfigError::new(
                &path,
                "1 to 128 octets, not all blank",
                got,
            ));
        }
    }
    errors
}
