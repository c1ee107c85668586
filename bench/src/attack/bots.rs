//! The bots: five guesses, RSET, five more, for ever, over many connections each; whoever is cut
//! comes again.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::Write as _,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{JoinSet, LocalSet},
    time::{sleep, timeout, timeout_at},
};

use super::{Size, bot_address, fail2ban::Banned};
use crate::load::Wire;

/// Names in one transaction.
const GROUP: usize = 5;
/// How long a bot waits for a connection, or for a reply.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it waits before it comes again.
const AGAIN: Duration = Duration::from_secs(1);
/// Connections opened at once: a queue of those not yet accepted holds no more by custom.
const OPENING: usize = 64;

/// What became of one bot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bot {
    /// Guesses that were answered.
    pub(super) guesses: usize,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Bot {
    fn answered(&mut self) {
        self.guesses += 1;
        self.last = Some(Instant::now());
    }

    /// From its first guess to the last one that was answered.
    pub(super) fn guessed_for(&self) -> Duration {
        let both = self.first.zip(self.last);
        both.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

type Bots = Rc<RefCell<HashMap<usize, Bot>>>;

/// Lets all loose until the time is over.
pub(super) async fn attack(size: Size, server: SocketAddr, banned: Banned) -> io::Result<Vec<Bot>> {
    let end = tokio::time::Instant::now() + size.lasts;
    let bots: Bots = Rc::default();
    let opening = Rc::new(Semaphore::new(OPENING));
    LocalSet::new()
        .run_until(async {
            let mut running = JoinSet::new();
            let lanes = size.at_once.min(size.bots * size.connections);
            for lane in 0..lanes {
                let lane = Lane {
                    number: lane,
                    lanes,
                    size,
                    server,
                    banned: banned.clone(),
                    bots: Rc::clone(&bots),
                    opening: Rc::clone(&opening),
                };
                running.spawn_local(async move {
                    // At the end all bots fall silent.
                    let _ = timeout_at(end, lane.run()).await;
                });
            }
            while running.join_next().await.is_some() {}
        })
        .await;
    let known = bots.borrow();
    Ok((0..size.bots)
        .map(|bot| known.get(&bot).copied().unwrap_or_default())
        .collect())
}

/// One connection at a time. If there are fewer than all bots have, the bots share them.
struct Lane {
    number: usize,
    lanes: usize,
    size: Size,
    server: SocketAddr,
    banned: Banned,
    bots: Bots,
    opening: Rc<Semaphore>,
}

impl Lane {
    async fn run(self) {
        let mut visit = self.number;
        loop {
            let bot = visit % self.size.bots;
            // However a session ends, the next one comes.
            let _ = self.session(bot, visit).await;
            visit += self.lanes;
            sleep(AGAIN).await;
        }
    }

    fn note(&self, bot: usize, what: impl FnOnce(&mut Bot)) {
        what(self.bots.borrow_mut().entry(bot).or_default());
    }

    async fn session(&self, bot: usize, visit: usize) -> io::Result<()> {
        let address = bot_address(bot);
        self.banned.lets_in(address)?;
        let door = self.opening.acquire().await.map_err(io::Error::other)?;
        let mut wire = in_time(Wire::connect(address, self.server)).await?;
        drop(door);
        expect(220, in_time(wire.reply()).await?)?;
        wire.send(b"EHLO bot.example.org\r\n").await?;
        expect(250, in_time(wire.reply()).await?)?;
        for group in 0.. {
            // A firewall drops what comes over connections that are open, too.
            self.banned.lets_in(address)?;
            self.note(bot, |bot| {
                bot.first.get_or_insert_with(Instant::now);
            });
            wire.send(transaction(visit, group).as_bytes()).await?;
            for place in 0..GROUP + 2 {
                let code = in_time(wire.reply()).await?;
                let cut = code.is_none_or(|code| matches!(code, 421 | 554));
                if cut {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                if (1..=GROUP).contains(&place) {
                    self.note(bot, Bot::answered);
                }
            }
        }
        Ok(())
    }
}

/// MAIL, a group of guesses and RSET, in one write. No name comes twice.
fn transaction(visit: usize, group: usize) -> String {
    let mut text = String::from("MAIL FROM:<offer@bot.example.org>\r\n");
    for name in 0..GROUP {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "RCPT TO:<guess{visit}.{group}.{name}@example.test>\r\n"
        );
    }
    text.push_str("RSET\r\n");
    text
}

fn expect(code: u16, got: Option<u16>) -> io::Result<()> {
    match got {
        Some(got) if got == code => Ok(()),
        _ => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await?
}
