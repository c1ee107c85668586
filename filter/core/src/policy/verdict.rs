//! Verdicts and the evidence they rest on.

use crate::ledger::Reason;
use serde::Serialize;

/// What a session has done so far. Nothing the client says makes any of these smaller, but for
/// `consecutive`, which an accepted recipient sets back to 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// RCPTs the server has answered, the postmaster's not counted, and names VRFY or EXPN found
    /// unknown.
    pub tried: u32,
    /// Of these, recipients taken.
    pub accepted: u32,
    /// Of these, recipients the server does not know.
    pub rejected: u32,
    /// Unknown recipients since the last one that was taken.
    pub consecutive: u32,
    /// Transactions ended with at least one rejected and no accepted recipient.
    pub wasted: u32,
    /// RCPTs answered by the guard without asking the server: those beyond the budget, and those
    /// for recipients remembered as unknown.
    pub answered: u32,
    /// Messages the server has taken.
    pub messages: u32,
}

/// The rules of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Unknown recipients in a row.
    RcptConsecutive,
    /// Unknown recipients in all.
    RcptTotal,
    /// Wasted transactions ended by a reset.
    Wasted,
    /// Any RSET, in the strict mode.
    StrictReset,
    /// Replies and commands do not pair any more.
    Desync,
    /// The server took something inside a message for its end and read on as if it were commands.
    Smuggling,
    /// More unknown recipients may hide behind an unanswered DATA or BDAT than the session may
    /// still try, and the client has already closed its side.
    HiddenRcpts,
    /// DNS blacklists have the client.
    Dnsbl,
    /// Our own list has it.
    OwnList,
    /// Unknown recipients in a row, over all sessions of the client.
    Streak,
    /// Unknown recipients in all, over all sessions of the client.
    Score,
    /// A recipient that never existed.
    Trap,
    /// The ledger lists the client: it did so before this session began, or another session of the
    /// client has crossed a line.
    Ledger,
    /// It has too many sessions at once.
    Sessions,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::RcptConsecutive,
        Self::RcptTotal,
        Self::Wasted,
        Self::StrictReset,
        Self::Desync,
        Self::Smuggling,
        Self::HiddenRcpts,
        Self::Dnsbl,
        Self::OwnList,
        Self::Streak,
        Self::Score,
        Self::Trap,
        Self::Ledger,
        Self::Sessions,
    ];

    /// The name under which logs, metrics and the configuration know the rule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RcptConsecutive => "rcpt.max_consecutive",
            Self::RcptTotal => "rcpt.max_total",
            Self::Wasted => "reset.max_wasted",
            Self::StrictReset => "reset.strict",
            Self::Desync => "desync",
            Self::Smuggling => "smuggling",
            Self::HiddenRcpts => "rcpt.hidden",
            Self::Dnsbl => "dnsbl",
            Self::OwnList => "listed.networks",
            Self::Streak => "ledger.streak",
            Self::Score => "ledger.max_score",
            Self::Trap => "traps.recipients",
            Self::Ledger => "ledger.listing",
            Self::Sessions => "sessions.max_per_client",
        }
    }
}

impl From<Reason> for Rule {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Streak => Self::Streak,
            Reason::Score => Self::Score,
            Reason::Trap => Self::Trap,
            Reason::Told => Self::Ledger,
        }
    }
}

/// A rule that was met, with the counts at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub rule: Rule,
    /// The evidence.
    pub counts: Counts,
}
