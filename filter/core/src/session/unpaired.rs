//! Sessions whose replies and commands no longer pair: nothing waits, is metered or rewritten any
//! more, but a server that says again and again that a mailbox is unknown says it to somebody who
//! guesses.

use super::Session;
use super::effects::Effects;
use super::passage::Passage;
use crate::ledger::Row;
use crate::policy::RcptReply;
use crate::smtp::{Framed, frame};

impl Session {
    /// Whether a line can only mean an unknown mailbox; where RCPTs went on unread, whether it may.
    fn says_unknown(&self, line: &[u8]) -> bool {
        let rejections = self.policy.rejections();
        let is_last = line.get(3) != Some(&b'-');
        rejections.line_says_unknown(line)
            || self.hidden > 0 && is_last && rejections.classify(line) == RcptReply::Rejected
    }

    /// Lets `bytes` pass from `at` on, and counts the lines that can only mean an unknown mailbox.
    /// The last word follows the one that makes up the total.
    pub(super) fn watch(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        passage: &mut Passage<'_>,
        effects: &mut Effects<'_>,
    ) {
        while let Framed::Line { len, .. } = frame(bytes.get(at..).unwrap_or_default(), usize::MAX)
        {
            passage.keep(at, at + len);
            // The head of the line may have passed with an earlier batch.
            let mut line = std::mem::take(&mut self.partial_reply);
            line.extend_from_slice(bytes.get(at..at + len).unwrap_or_default());
            at += len;
            if self.says_unknown(&line) {
                self.counts.tried += 1;
                self.counts.rejected += 1;
                self.looks_suspect(effects);
                let of_session = || self.policy.after_unpaired_rejection(&self.counts);
                let rule = self.rejection_met(Row::Lost, of_session);
                let verdict = rule.and_then(|rule| self.judge(rule, &mut effects.notes));
                if let Some(verdict) = self.condemned.or(verdict) {
                    let word = self.close(verdict, effects);
                    self.say(&word, passage);
                    return;
                }
            }
        }
        passage.keep(at, bytes.len());
        let head = bytes.get(at..).unwrap_or_default();
        let limit = self.policy.config().limits.reply as usize;
        if self.partial_reply.len() + head.len() <= limit {
            self.partial_reply.extend_from_slice(head);
        }
    }
}
