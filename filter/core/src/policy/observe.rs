//! What is only observed, what is recorded, and what is written down.

use super::Policy;
use super::config::{Mode, RecordMode, TranscriptMode};
use super::error::{ConfigError, quoted};
use super::verdict::Rule;
use crate::client::Client;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// Whether a session is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transcribe {
    /// It is not.
    Never,
    /// If it comes to so many rejected recipients.
    From(u32),
    /// It is.
    Always,
}

/// The rules that are only observed, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Observed(u32);

impl Observed {
    /// Reads the names of rules; what is none is added to `errors`.
    pub(super) fn read(names: &[String], errors: &mut Vec<ConfigError>) -> Self {
        let mut observed = Self::default();
        for (index, name) in names.iter().enumerate() {
            let rules = Rule::ALL.into_iter().filter(|rule| group(*rule) == name);
            let bits = rules.fold(0, |bits, rule| bits | bit(rule));
            if bits == 0 || *name == Rule::Desync.name() {
                let path = format!("observe.rules[{index}]");
                let expected = "the name of a rule as in records, or \"ledger\"; \
                                for a desync there is desync: \"pass\"";
                errors.push(ConfigError::new(&path, expected, quoted(name)));
            }
            observed.0 |= bits;
        }
        observed
    }

    fn holds(self, rule: Rule) -> bool {
        self.0 & bit(rule) != 0
    }
}

fn bit(rule: Rule) -> u32 {
    1 << rule as u32
}

/// What is observed together: a listing is one thing, whatever it was made for.
fn group(rule: Rule) -> &'static str {
    match rule {
        Rule::Streak | Rule::Score | Rule::Trap | Rule::Ledger => "ledger",
        rule => rule.name(),
    }
}

/// A number that is always the same for the same thing, and no nearer to that of a similar one.
pub(super) fn mark(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Policy {
    /// Whether verdicts on this client are carried out.
    #[must_use]
    pub fn enforces_on(&self, client: Client) -> bool {
        let percent = self.config().observe.percent;
        let chosen = || percent > 0 && mark(client) % 100 < percent.into();
        self.config().mode == Mode::Enforce && !chosen()
    }

    /// The same by its address; nobody is tried out whose address is not known.
    #[must_use]
    pub fn enforces_at(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self.enforces_on(self.client(address)),
            None => self.config().mode == Mode::Enforce,
        }
    }

    /// Whether verdicts by this rule are carried out, if any are.
    #[must_use]
    pub fn enforces_rule(&self, rule: Rule) -> bool {
        !self.observed.holds(rule)
    }

    /// Whether a session is recorded, by whether it met a rule and by a lot drawn for it.
    #[must_use]
    pub fn records(&self, met_a_rule: bool, lot: u64) -> bool {
        let record = &self.config().record;
        match record.sessions {
            RecordMode::All => true,
            RecordMode::Sampled => met_a_rule || mark(lot) % 100 < record.percent.into(),
            RecordMode::ActedOn => met_a_rule,
            RecordMode::Off => false,
        }
    }

    /// Whether a session is written down, by its client and by a lot drawn for it.
    #[must_use]
    pub fn transcribes(&self, client: Option<IpAddr>, lot: u64) -> Transcribe {
        let transcripts = &self.config().transcripts;
        let named = || client.is_some_and(|client| self.transcribed.contain(client));
        match (transcripts.sessions, transcripts.after_rejections) {
            (TranscriptMode::Off, _) => Transcribe::Never,
            (TranscriptMode::All, _) => Transcribe::Always,
            _ if named() || mark(lot) % 100 < transcripts.percent.into() => Transcribe::Always,
            (TranscriptMode::Chosen, Some(rejections)) => Transcribe::From(rejections),
            (TranscriptMode::Chosen, None) => Transcribe::Never,
        }
    }

    /// What records call this policy.
    #[must_use]
    pub fn version(&self) -> &str {
        self.config().version.as_deref().unwrap_or(&self.hash)
    }
}
