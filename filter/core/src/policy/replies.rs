//! The reply lines of a policy.

use super::config::{DnsblConfig, RepliesConfig};
use super::error::{ConfigError, quoted};
use super::reply_text::{Facts, ReplyText};
use super::verdict::Rule;
use crate::smtp::Answer;

/// The reply lines of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replies {
    lines: Vec<ReplyText>,
    by_site: Vec<(String, ReplyText)>,
}

/// A line's place among them.
#[derive(Debug, Clone, Copy)]
enum Line {
    RcptConsecutive,
    RcptTotal,
    Wasted,
    ResetStrict,
    Metered,
    Desync,
    Dnsbl,
    Listed,
    Ledger,
    Unknown,
    UnknownForNow,
    Sessions,
}

impl Replies {
    /// Reads all texts; what is no reply is added to `errors`.
    pub(super) fn read(
        config: &RepliesConfig,
        dnsbl: &DnsblConfig,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        // In the order of `Line`.
        let lines = [
            ("rcpt_consecutive", &config.rcpt_consecutive),
            ("rcpt_total", &config.rcpt_total),
            ("wasted", &config.wasted),
            ("reset_strict", &config.reset_strict),
            ("metered", &config.metered),
            ("desync", &config.desync),
            ("dnsbl", &config.dnsbl),
            ("listed", &config.listed),
            ("ledger", &config.ledger),
            ("unknown", &config.unknown),
            ("unknown_for_now", &config.unknown_for_now),
            ("sessions", &config.sessions),
        ];
        let mut replies = Self {
            lines: Vec::new(),
            by_site: Vec::new(),
        };
        for (name, text) in lines {
            replies.lines.extend(read("replies", name, text, errors));
        }
        for (site, text) in &dnsbl.replies {
            let text = read("dnsbl.replies", site, text, errors);
            let site = site.to_ascii_lowercase();
            replies.by_site.extend(text.map(|text| (site, text)));
        }
        replies
    }

    /// The last line a client reads when `rule` ends its session.
    pub(super) fn last_word(&self, rule: Rule, facts: Facts<'_>) -> Vec<u8> {
        let line = match rule {
            Rule::RcptConsecutive => Line::RcptConsecutive,
            Rule::RcptTotal | Rule::HiddenRcpts => Line::RcptTotal,
            Rule::Wasted => Line::Wasted,
            Rule::StrictReset => Line::ResetStrict,
            Rule::Desync | Rule::Smuggling => Line::Desync,
            Rule::Dnsbl => Line::Dnsbl,
            Rule::OwnList => Line::Listed,
            Rule::Streak | Rule::Score | Rule::Trap | Rule::Ledger => Line::Ledger,
            Rule::Sessions => Line::Sessions,
        };
        let own = facts.listing.and_then(|listing| {
            let mut own = self.by_site.iter();
            own.find(|(site, _)| site == listing.site())
        });
        match own.filter(|_| rule == Rule::Dnsbl) {
            Some((_, own)) => own.line(facts),
            None => self.line(line, facts),
        }
    }

    /// The reply to a RCPT beyond the budget that does not wait.
    pub(super) fn metered(&self, facts: Facts<'_>) -> Vec<u8> {
        self.line(Line::Metered, facts)
    }

    /// The reply to a RCPT for a recipient remembered as unknown.
    pub(super) fn unknown(&self, answer: Answer, facts: Facts<'_>) -> Vec<u8> {
        let line = match answer {
            Answer::RememberedForNow => Line::UnknownForNow,
            _ => Line::Unknown,
        };
        self.line(line, facts)
    }

    fn line(&self, line: Line, facts: Facts<'_>) -> Vec<u8> {
        let text = self.lines.get(line as usize);
        text.map(|text| text.line(facts)).unwrap_or_default()
    }
}

fn read(section: &str, name: &str, text: &str, errors: &mut Vec<ConfigError>) -> Option<ReplyText> {
    let read = ReplyText::parse(text).map_err(|expected| {
        let path = format!("{section}.{name}");
        errors.push(ConfigError::new(&path, &expected, quoted(text)));
    });
    read.ok()
}
