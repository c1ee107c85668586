//! Detained sessions: a slow dialogue with a listed client, played without the server.
//!
//! The connection goes to an echo, like a refused one, so that whatever is sent there comes back
//! and can be read by the client. Nothing is ever accepted in that dialogue.

use super::effects::{Close, Effects, Note};
use super::{Door, Phase, Session};
use crate::policy::Rule;
use crate::smtp::{Command, LineEnd, Verb};
use std::collections::VecDeque;

/// Answers that wait to be given; a client that sends more commands ahead is not read from.
const MAX_ANSWERS: usize = 32;
/// Octets of a line that are read, more than any command may have (RFC 5321 section 4.5.3.1.4).
const MAX_LINE: usize = 1024;

const GREETING: &[u8] = b"220 ESMTP\r\n";

/// How far a detained session is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dialogue {
    line: Vec<u8>,
    answers: VecDeque<Answer>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// The greeting has not been said.
    #[default]
    Opening,
    /// It has, but the client has said nothing: the host has no place for an answer.
    Greeted,
    Talking,
    /// The last word is on its way.
    Over,
}

impl Dialogue {
    fn end(&mut self) {
        *self = Self {
            stage: Stage::Over,
            ..Self::default()
        };
    }
}

/// What a command of a detained client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Ok,
    Recipient,
    Sequence,
    Verify,
    NotImplemented,
    Unknown,
    Bye,
}

impl Answer {
    fn to(command: &Command<'_>) -> Self {
        match command.verb {
            Verb::Ehlo | Verb::Helo | Verb::Lhlo | Verb::Mail | Verb::Rset | Verb::Noop => Self::Ok,
            Verb::Rcpt => Self::Recipient,
            Verb::Data | Verb::Bdat => Self::Sequence,
            Verb::Vrfy | Verb::Expn => Self::Verify,
            Verb::Auth | Verb::StartTls => Self::NotImplemented,
            Verb::Quit => Self::Bye,
            Verb::Other => Self::Unknown,
        }
    }

    fn line(self) -> &'static [u8] {
        match self {
            Self::Ok => b"250 Ok\r\n",
            // Honest mail that comes here by mistake has to be tried again, not given up.
            Self::Recipient => b"450 4.2.0 Try again later\r\n",
            Self::Sequence => b"503 5.5.1 No valid recipients\r\n",
            Self::Verify => b"252 2.0.0 Try RCPT\r\n",
            Self::NotImplemented => b"502 5.5.1 Not implemented\r\n",
            Self::Unknown => b"500 5.5.2 Not recognized\r\n",
            Self::Bye => b"221 2.0.0 Bye\r\n",
        }
    }
}

impl Session {
    /// Instead of a refusal: keeps the client busy. To be called before anything was said.
    #[must_use]
    pub fn detain(&mut self, rule: Rule) -> (Door, Vec<Note>) {
        let mut notes = Vec::new();
        if self.phase != Phase::Judged {
            return (Door::Admitted, notes);
        }
        match self.judge(rule, &mut notes) {
            None => (Door::Admitted, notes),
            Some(verdict) => {
                self.phase = Phase::Detained(verdict);
                self.dialogue = Some(Box::default());
                notes.push(Note::Detained(verdict));
                (Door::Refused, notes)
            }
        }
    }

    /// Whether the guard itself keeps the client busy.
    #[must_use]
    pub fn is_detained(&self) -> bool {
        matches!(self.phase, Phase::Detained(_))
    }

    /// Whether an answer waits to be given.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        let dialogue = self.dialogue.as_ref();
        dialogue.is_some_and(|dialogue| !dialogue.answers.is_empty())
    }

    /// The next answer, by way of the echo.
    pub fn answer(&mut self) -> Effects<'static> {
        let mut effects = Effects::default();
        let Some(dialogue) = &mut self.dialogue else {
            return effects;
        };
        if let Some(answer) = dialogue.answers.pop_front() {
            effects.to_server = answer.line().into();
            if answer == Answer::Bye {
                dialogue.end();
                effects.close = Close::Linger;
            }
        }
        effects
    }

    /// It has been long enough: a detained client's last word, by way of the echo.
    pub fn let_go(&mut self) -> Effects<'static> {
        let mut effects = Effects::default();
        if let (Phase::Detained(verdict), Some(dialogue)) = (self.phase, &mut self.dialogue)
            && dialogue.stage != Stage::Over
        {
            let stage = dialogue.stage;
            dialogue.end();
            if stage == Stage::Talking {
                effects.to_server = self.last_word(&verdict).into();
                effects.close = Close::Linger;
            } else {
                effects.close = Close::Now;
            }
        }
        effects
    }

    /// Takes commands of a detained client; how many octets were not taken.
    pub(super) fn take_detained(&mut self, bytes: &[u8]) -> usize {
        let Some(dialogue) = &mut self.dialogue else {
            return 0;
        };
        if dialogue.stage == Stage::Over {
            return 0;
        }
        if dialogue.stage == Stage::Greeted && !bytes.is_empty() {
            dialogue.stage = Stage::Talking;
        }
        let mut rest = bytes;
        while dialogue.answers.len() < MAX_ANSWERS && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (head, tail) = rest.split_at(end.unwrap_or(rest.len()));
            let room = MAX_LINE.saturating_sub(dialogue.line.len());
            dialogue.line.extend(head.iter().take(room));
            rest = tail.get(1..).unwrap_or_default();
            if end.is_some() {
                let mut line = std::mem::take(&mut dialogue.line);
                line.push(b'\n');
                let command = Command::parse(line.trim_ascii_end());
                let answer = Answer::to(&command);
                dialogue.answers.push_back(answer);
                if let Some(transcript) = &mut self.transcript {
                    transcript.command(&line, &command, LineEnd::Crlf);
                }
                self.counts.tried += u32::from(answer == Answer::Recipient);
            }
        }
        rest.len()
    }

    /// What comes from the echo: the line that opened the connection becomes the greeting, all
    /// else is what was sent there.
    pub(super) fn echoed<'a>(&mut self, bytes: &'a [u8], effects: &mut Effects<'a>) {
        let Some(dialogue) = &mut self.dialogue else {
            return;
        };
        if !bytes.is_empty() {
            effects.to_client = match dialogue.stage {
                Stage::Opening => GREETING.into(),
                Stage::Greeted | Stage::Talking | Stage::Over => bytes.into(),
            };
        }
        if dialogue.stage == Stage::Opening {
            dialogue.stage = Stage::Greeted;
        }
        self.transcribed(|transcript| transcript.guard(&effects.to_client));
    }

    /// Octets of a line whose end is still to come.
    pub(super) fn waits_in_dialogue(&self) -> usize {
        let dialogue = self.dialogue.as_ref();
        dialogue.map_or(0, |dialogue| dialogue.line.len())
    }

    /// Milliseconds for which the client's commands wait, by its score; none in the middle of a
    /// message.
    #[must_use]
    pub fn delay_ms(&self) -> u32 {
        let tarpit = &self.policy.config().tarpit;
        let account = self.account.as_ref().filter(|_| self.is_enforced());
        match account {
            Some(account) if tarpit.delay_ms > 0 && !account.has_standing() => {
                let delay = account.entry().score().saturating_mul(tarpit.delay_ms);
                match self.tracker.expects_command() {
                    true => delay.min(tarpit.max_delay_ms),
                    false => 0,
                }
            }
            _ => 0,
        }
    }
}
