//! The attackers: each session guesses names in groups of five, RSET between them, until its names
//! are used up or it is cut.

use std::{fmt::Write as _, io, net::Ipv4Addr, sync::Arc};

use indicatif::ProgressBar;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    options::Options,
    wire::{Server, Wire},
};
use crate::tls::TlsClient;

/// Names guessed in one transaction, as the bots of the field do.
const GROUP: u32 = 5;

/// Connections opened at once. A server's queue of connections not yet accepted holds 128 by
/// custom; one that overflows it may believe itself connected for ever (SYN cookies), and an SMTP
/// client waits for the server to speak first.
const OPENING_AT_ONCE: usize = 64;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It tried all its names.
    NamesUsedUp,
    /// It read a 421, and then the end of the stream.
    Cut,
    /// It met a 421 at the door.
    Refused,
    /// It was ended without a word, as a session may be whose client is listed meanwhile.
    CutSilently,
    /// It heard more after its 421.
    CutBadly,
}

/// What became of one session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// Guesses that were answered.
    pub(super) guesses: u32,
    pub(super) end: End,
}

/// What became of one bot.
#[derive(Debug, Default)]
pub(super) struct Bot {
    pub(super) sessions: Vec<Session>,
}

impl Bot {
    /// Whether no session of it went on to its last name.
    pub(super) fn is_cut(&self) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.all(|session| session.end != End::NamesUsedUp)
            && self.sessions.iter().any(|session| session.end == End::Cut)
    }
}

/// Lets all bots loose on a server.
pub(super) async fn attack(
    options: &Options,
    server: &Server,
    progress: &ProgressBar,
) -> io::Result<Vec<Bot>> {
    let at_once = Arc::new(Semaphore::new(options.at_once as usize));
    let opening = Arc::new(Semaphore::new(OPENING_AT_ONCE));
    let mut running = JoinSet::new();
    // Every bot's first session comes before any bot's second, so that all attack at once.
    for session in 0..options.sessions {
        for bot in 0..options.bots {
            let guesser = Guesser {
                bot,
                session,
                names: options.names,
                progress: progress.clone(),
            };
            let (at_once, opening) = (Arc::clone(&at_once), Arc::clone(&opening));
            let server = server.clone();
            running.spawn(async move {
                let _turn = at_once.acquire_owned().await.map_err(io::Error::other)?;
                let door = opening.acquire_owned().await.map_err(io::Error::other)?;
                let (mut wire, greeting) = Wire::knock(address(bot), server.address).await?;
                drop(door);
                let session = match greeting {
                    Some(220) => guesser.run(wire, server.tls.as_ref()).await?,
                    Some(421) => guesser.refused(&mut wire).await?,
                    Some(code) => return Err(io::Error::other(format!("greeted with {code}"))),
                    // Its client was listed before the server had greeted it.
                    None => guesser.ended(0, End::CutSilently),
                };
                io::Result::Ok((bot, session))
            });
        }
    }
    let mut bots: Vec<Bot> = (0..options.bots).map(|_| Bot::default()).collect();
    while let Some(finished) = running.join_next().await {
        let (bot, session) = finished.map_err(io::Error::other)??;
        if let Some(bot) = bots.get_mut(usize::from(bot)) {
            bot.sessions.push(session);
        }
    }
    Ok(bots)
}

/// One session of one bot.
#[derive(Debug)]
struct Guesser {
    bot: u16,
    session: u32,
    names: u32,
    progress: ProgressBar,
}

impl Guesser {
    /// Nothing may follow the refusal.
    async fn refused(self, wire: &mut Wire) -> io::Result<Session> {
        let end = match reply_or_end(wire).await? {
            None => End::Refused,
            Some(_) => End::CutBadly,
        };
        Ok(self.ended(0, end))
    }

    fn ended(&self, guesses: u32, end: End) -> Session {
        self.progress.inc((self.names - guesses).into());
        Session { guesses, end }
    }

    async fn run(self, wire: Wire, tls: Option<&TlsClient>) -> io::Result<Session> {
        let mut wire = match self.greet(wire, tls).await? {
            Greeted::Yes(wire) => wire,
            Greeted::No(end) => return Ok(self.ended(0, end)),
        };
        let mut guesses = 0;
        while guesses < self.names {
            let group = GROUP.min(self.names - guesses);
            if wire
                .send(self.group(guesses, group).as_bytes())
                .await
                .is_err()
            {
                return Ok(self.ended(guesses, End::CutSilently));
            }
            match self.read_group(&mut wire, group).await? {
                Answers::All => guesses += group,
                Answers::Cut { answered, end } => {
                    return Ok(self.ended(guesses + answered, end));
                }
            }
        }
        // It leaves as bots do, without QUIT.
        Ok(Session {
            guesses,
            end: End::NamesUsedUp,
        })
    }

    /// Says EHLO, and switches to TLS first if that is wanted. Anywhere in that the bot may be
    /// listed by another session of its own.
    async fn greet(&self, mut wire: Wire, tls: Option<&TlsClient>) -> io::Result<Greeted> {
        const EHLO: &str = "EHLO bot.example.org";
        if let Some(end) = self.ask(&mut wire, EHLO, 250).await? {
            return Ok(Greeted::No(end));
        }
        let Some(tls) = tls else {
            return Ok(Greeted::Yes(wire));
        };
        if let Some(end) = self.ask(&mut wire, "STARTTLS", 220).await? {
            return Ok(Greeted::No(end));
        }
        wire = match wire.handshake(tls).await {
            Ok(wire) => wire,
            Err(error) if is_end(&error) => return Ok(Greeted::No(End::CutSilently)),
            Err(error) => return Err(error),
        };
        let end = self.ask(&mut wire, EHLO, 250).await?;
        Ok(end.map_or(Greeted::Yes(wire), Greeted::No))
    }

    /// Says a command; how the session ended, if it did.
    async fn ask(&self, wire: &mut Wire, command: &str, code: u16) -> io::Result<Option<End>> {
        if wire
            .send(format!("{command}\r\n").as_bytes())
            .await
            .is_err()
        {
            return Ok(Some(End::CutSilently));
        }
        match reply_or_end(wire).await? {
            Some(good) if good == code => Ok(None),
            Some(421) => Ok(Some(self.after_last_word(wire).await?)),
            Some(other) => Err(io::Error::other(format!("{command}: got {other}"))),
            None => Ok(Some(End::CutSilently)),
        }
    }

    async fn after_last_word(&self, wire: &mut Wire) -> io::Result<End> {
        Ok(match reply_or_end(wire).await? {
            None => End::Cut,
            Some(_) => End::CutBadly,
        })
    }

    /// MAIL, a group of guesses and RSET in one write.
    fn group(&self, from: u32, count: u32) -> String {
        let mut text = String::from("MAIL FROM:<offer@bot.example.org>\r\n");
        for name in from..from + count {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "RCPT TO:<guess{}.{}.{name}@example.test>\r\n",
                self.bot, self.session
            );
        }
        text.push_str("RSET\r\n");
        text
    }

    async fn read_group(&self, wire: &mut Wire, count: u32) -> io::Result<Answers> {
        let mut guesses = 0;
        for place in 0..count + 2 {
            let guess = (1..=count).contains(&place);
            match reply_or_end(wire).await? {
                Some(421) => {
                    let answered = guesses + u32::from(guess);
                    self.progress.inc(u64::from(guess));
                    let end = self.after_last_word(wire).await?;
                    return Ok(Answers::Cut { answered, end });
                }
                None => {
                    return Ok(Answers::Cut {
                        answered: guesses,
                        end: End::CutSilently,
                    });
                }
                Some(_) if guess => {
                    guesses += 1;
                    self.progress.inc(1);
                }
                Some(_) => {}
            }
        }
        Ok(Answers::All)
    }
}

/// Whether a session may go on.
#[derive(Debug)]
enum Greeted {
    Yes(Wire),
    No(End),
}

/// What a group of guesses brought.
#[derive(Debug)]
enum Answers {
    /// A reply to each.
    All,
    /// The end, after so many of them were answered.
    Cut { answered: u32, end: End },
}

async fn reply_or_end(wire: &mut Wire) -> io::Result<Option<u16>> {
    match wire.reply().await {
        Err(error) if is_end(&error) => Ok(None),
        other => other,
    }
}

/// A reset is an end too, the rudest one, and so is TLS that ends without a word.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    )
}

/// The bot's own address: 127.20.0.1 and on.
fn address(bot: u16) -> Ipv4Addr {
    let [high, low] = (bot + 1).to_be_bytes();
    Ipv4Addr::new(127, 20, high, low)
}
