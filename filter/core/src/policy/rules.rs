//! The policy: a configuration that has been checked, and the rules it makes.

use super::config::{
    Config, DesyncMode, LookupMode, Metering, ReservedMode, ResetMode, SmugglingMode,
};
use super::error::ConfigErrors;
use super::network::Networks;
use super::observe::{Observed, mark};
use super::rejection::RejectionPatterns;
use super::replies::Replies;
use super::reply_text::Facts;
use super::traps::Traps;
use super::verdict::{Counts, Rule};
use super::{check, config, envelope, sites};
use crate::client::{Client, Prefixes};
use crate::dnsbl::{Zones, is_reserved};
use crate::smtp::Answer;
use std::net::IpAddr;

/// A configuration that holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    config: Config,
    exempt: Networks,
    listed: Networks,
    pub(super) transcribed: Networks,
    zones: Zones,
    traps: Traps,
    rejections: RejectionPatterns,
    replies: Replies,
    pub(super) observed: Observed,
    /// Stands for what was written.
    pub(super) hash: String,
}

impl Policy {
    /// Reads a configuration as the host hands it over: JSON, or the bytes of a
    /// `google.protobuf.Struct`. Nothing at all is the default policy.
    ///
    /// # Errors
    /// [`ConfigErrors`] naming each faulty field, its value and what would do.
    pub fn read(bytes: &[u8]) -> Result<Self, ConfigErrors> {
        let value = envelope::open(bytes).map_err(|error| ConfigErrors::Json(error.to_string()))?;
        // Its fields are in order, whatever order they came in.
        let written = serde_json::to_string(&value).unwrap_or_default();
        let mut errors = Vec::new();
        let config = config::read(value, &mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors::Values(errors));
        }
        let hash = format!("{:012x}", mark(written) >> 16);
        Ok(Self {
            hash,
            ..Self::new(config)?
        })
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigErrors::Values`] naming each faulty field.
    pub fn new(config: Config) -> Result<Self, ConfigErrors> {
        let mut errors = check::faults(&config);
        let replies = Replies::read(&config.replies, &config.dnsbl, &mut errors);
        let mut networks = |path, texts: &[String]| Networks::read(path, texts, &mut errors);
        let exempt = networks("exempt.networks", &config.exempt.networks);
        let listed = networks("listed.networks", &config.listed.networks);
        let transcribed = networks("transcripts.networks", &config.transcripts.networks);
        let observed = Observed::read(&config.observe.rules, &mut errors);
        let zones = sites::read(&config.dnsbl, &mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors::Values(errors));
        }
        Ok(Self {
            exempt,
            listed,
            transcribed,
            zones,
            traps: Traps::new(&config.traps.recipients),
            rejections: RejectionPatterns::new(&config.rcpt.rejected_text),
            replies,
            observed,
            hash: "0".to_owned(),
            config,
        })
    }

    /// The configuration this policy was made of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a client at this address is left alone.
    #[must_use]
    pub fn exempts(&self, client: IpAddr) -> bool {
        self.exempt.contain(client)
    }

    /// Whether a client at this address is on our own list.
    #[must_use]
    pub fn lists(&self, client: IpAddr) -> bool {
        self.listed.contain(client)
    }

    /// The client at this address.
    #[must_use]
    pub fn client(&self, address: IpAddr) -> Client {
        self.prefixes().client(address)
    }

    /// How clients are told apart.
    #[must_use]
    pub fn prefixes(&self) -> Prefixes {
        let config = &self.config.client;
        Prefixes {
            ipv4: config.ipv4_prefix,
            ipv6: config.ipv6_prefix,
        }
    }

    /// The DNSBL sites.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// When clients are looked up; never where there are no sites.
    #[must_use]
    pub fn lookup(&self) -> LookupMode {
        match self.zones.is_empty() {
            true => LookupMode::Off,
            false => self.config.dnsbl.lookup,
        }
    }

    /// Whether DNSBLs may be asked about this address.
    #[must_use]
    pub fn may_ask_about(&self, address: IpAddr) -> bool {
        self.config.dnsbl.reserved == ReservedMode::Ask || !is_reserved(address)
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
        let left = |limit: Option<u32>, used, rule| match limit {
            Some(limit) if self.enforces_rule(rule) => limit.saturating_sub(used),
            _ => u32::MAX,
        };
        let rcpt = &self.config.rcpt;
        let in_a_row = left(
            rcpt.max_consecutive,
            counts.consecutive,
            Rule::RcptConsecutive,
        );
        in_a_row.min(left(rcpt.max_total, counts.rejected, Rule::RcptTotal))
    }

    /// The rule met by the recipient that has just been rejected.
    #[must_use]
    pub fn after_rejection(&self, counts: &Counts) -> Option<Rule> {
        let met = |limit: Option<u32>, count| limit.is_some_and(|limit| count >= limit);
        let rcpt = &self.config.rcpt;
        let total = met(rcpt.max_total, counts.rejected).then_some(Rule::RcptTotal);
        let in_a_row =
            met(rcpt.max_consecutive, counts.consecutive).then_some(Rule::RcptConsecutive);
        match (total, in_a_row) {
            // One that is only observed must not stand before one that acts.
            (Some(total), Some(in_a_row))
                if !self.enforces_rule(total) && self.enforces_rule(in_a_row) =>
            {
                Some(in_a_row)
            }
            _ => total.or(in_a_row),
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

    /// Whether any mailbox is a trap.
    #[must_use]
    pub fn sets_traps(&self) -> bool {
        !self.config.traps.recipients.is_empty()
    }

    /// The rule met by a RCPT for this mailbox.
    #[must_use]
    pub fn on_mailbox(&self, mailbox: &[u8]) -> Option<Rule> {
        self.traps.hold(mailbox).then_some(Rule::Trap)
    }

    /// Whether RCPTs beyond the budget wait or are refused.
    #[must_use]
    pub fn metering(&self) -> Metering {
        self.config.rcpt.metering
    }

    /// The last line a client reads when `rule` ends its session.
    #[must_use]
    pub fn last_word(&self, rule: Rule, facts: Facts<'_>) -> Vec<u8> {
        self.replies.last_word(rule, facts)
    }

    /// The reply to a RCPT beyond the budget that does not wait.
    #[must_use]
    pub fn metered(&self, facts: Facts<'_>) -> Vec<u8> {
        self.replies.metered(facts)
    }

    /// The reply to a RCPT for a recipient that the server has just called unknown.
    #[must_use]
    pub fn unknown(&self, answer: Answer, facts: Facts<'_>) -> Vec<u8> {
        self.replies.unknown(answer, facts)
    }
}
