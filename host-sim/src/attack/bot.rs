//! A bot: it guesses names in groups, begins anew between them, and leaves without
//! QUIT.

use fastrand::Rng;

use super::dialogue::{Next, Owed, Verb};
use super::names::{self, DOMAIN};
use super::plan::{Plan, Reset, Sending};
use super::reply::Reply;

/// One session of a bot.
#[derive(Debug)]
pub(super) struct Bot {
    owed: Owed,
    stage: Stage,
    guessed: u32,
    in_group: u32,
}

/// What a bot says next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ehlo,
    Mail,
    Guess,
    Rset,
}

impl Bot {
    pub(super) fn new() -> Self {
        Self {
            owed: Owed::default(),
            stage: Stage::Ehlo,
            guessed: 0,
            in_group: 0,
        }
    }

    /// Takes a reply; what the bot says then, if it was waiting for that one.
    pub(super) fn hear(&mut self, reply: &Reply, plan: &Plan, rng: &mut Rng) -> Option<Next> {
        let answered = self.owed.answered();
        if reply.is_last() || (answered == Some(Verb::Connect) && reply.class() != 2) {
            return Some(Next::Leave);
        }
        self.owed.is_empty().then(|| self.next(plan, rng))
    }

    /// The next command, or the rest of a transaction.
    fn next(&mut self, plan: &Plan, rng: &mut Rng) -> Next {
        let mut words = Vec::new();
        while self.guessed < plan.names {
            let verb = self.command(&mut words, plan, rng);
            self.owed.push(verb);
            let is_whole = matches!(self.stage, Stage::Ehlo | Stage::Mail);
            if plan.sending == Sending::Stepwise || is_whole {
                break;
            }
        }
        if words.is_empty() {
            Next::Leave
        } else {
            Next::Say(words)
        }
    }

    fn command(&mut self, out: &mut Vec<u8>, plan: &Plan, rng: &mut Rng) -> Verb {
        match self.stage {
            Stage::Ehlo => {
                out.extend_from_slice(b"EHLO bot.example.org\r\n");
                self.stage = Stage::Mail;
                Verb::Ehlo
            }
            Stage::Mail => {
                out.extend_from_slice(b"MAIL FROM:<sender@example.org>\r\n");
                (self.stage, self.in_group) = (Stage::Guess, 0);
                Verb::Mail
            }
            Stage::Guess => {
                self.guess(out, plan, rng);
                Verb::Rcpt
            }
            Stage::Rset => {
                out.extend_from_slice(b"RSET\r\n");
                self.stage = Stage::Mail;
                Verb::Rset
            }
        }
    }

    fn guess(&mut self, out: &mut Vec<u8>, plan: &Plan, rng: &mut Rng) {
        out.extend_from_slice(b"RCPT TO:<");
        if plan.hits > 0 && rng.u8(0..100) < plan.hits {
            let number = rng.u32(0..plan.mailboxes.max(1));
            out.extend_from_slice(names::mailbox(number).as_bytes());
        } else {
            names::guess(out, plan.dictionary, rng);
        }
        out.push(b'@');
        out.extend_from_slice(DOMAIN.as_bytes());
        out.extend_from_slice(b">\r\n");
        self.guessed += 1;
        self.in_group += 1;
        if self.in_group >= plan.group {
            self.stage = after_group(plan.reset, rng);
        }
    }
}

/// How the next transaction begins.
fn after_group(reset: Reset, rng: &mut Rng) -> Stage {
    match reset {
        Reset::Rset => Stage::Rset,
        Reset::Ehlo => Stage::Ehlo,
        Reset::Mail => Stage::Mail,
        Reset::None => Stage::Guess,
        Reset::Mixed => match rng.u8(0..3) {
            0 => Stage::Rset,
            1 => Stage::Ehlo,
            _ => Stage::Mail,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a bot says, segment by segment, to a server that answers everything.
    fn segments(plan: &Plan) -> Vec<String> {
        let (mut bot, mut rng) = (Bot::new(), Rng::with_seed(1));
        let reply = |code| Reply {
            code,
            text: Vec::new(),
        };
        let mut said = Vec::new();
        let mut next = bot.hear(&reply(220), plan, &mut rng);
        while let Some(Next::Say(words)) = next {
            let words = String::from_utf8(words).unwrap();
            let commands = words.lines().count();
            let verbs = words.lines().map(|line| line.get(..4).unwrap_or(line));
            said.push(verbs.collect::<Vec<_>>().join(" "));
            next = None;
            for left in (0..commands).rev() {
                assert_eq!(next, None, "it speaks before {left} replies came");
                next = bot.hear(&reply(451), plan, &mut rng);
            }
        }
        assert_eq!(next, Some(Next::Leave));
        said
    }

    fn plan(reset: Reset, sending: Sending) -> Plan {
        Plan {
            names: 3,
            group: 2,
            reset,
            sending,
            ..Plan::default()
        }
    }

    #[test]
    fn a_bot_begins_anew_between_its_groups() {
        let table = [
            (Reset::Rset, "EHLO MAIL RCPT RCPT RSET MAIL RCPT"),
            (Reset::Ehlo, "EHLO MAIL RCPT RCPT EHLO MAIL RCPT"),
            (Reset::Mail, "EHLO MAIL RCPT RCPT MAIL RCPT"),
            (Reset::None, "EHLO MAIL RCPT RCPT RCPT"),
        ];
        for (reset, expected) in table {
            let said = segments(&plan(reset, Sending::Stepwise));
            assert_eq!(said.join(" "), expected);
        }
    }

    #[test]
    fn a_pipelined_transaction_is_one_segment() {
        let said = segments(&plan(Reset::Rset, Sending::Pipelined));
        assert_eq!(said, ["EHLO", "MAIL RCPT RCPT RSET", "MAIL RCPT"]);
        let said = segments(&plan(Reset::None, Sending::Pipelined));
        assert_eq!(said, ["EHLO", "MAIL RCPT RCPT RCPT"]);
    }

    #[test]
    fn a_last_word_ends_it() {
        let (mut bot, mut rng) = (Bot::new(), Rng::with_seed(1));
        for code in [554, 421] {
            let reply = Reply {
                code,
                text: Vec::new(),
            };
            let next = bot.hear(&reply, &Plan::default(), &mut rng);
            assert_eq!(next, Some(Next::Leave));
        }
    }
}
