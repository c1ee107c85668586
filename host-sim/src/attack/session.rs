//! Sessions of clients: opened, led through their dialogue, and let go.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;

use super::bot::Bot;
use super::clients::LOCAL;
use super::dialogue::Next;
use super::honest::{Fate, Kind, Letter, Visit};
use super::reply::Replies;
use super::schedule::{Slot, Task};
use super::stage::{Stage, time};
use crate::observe::{ConnId, Summary};

/// How long a client waits for a reply (RFC 5321 section 4.5.3.2).
const PATIENCE: Duration = Duration::from_secs(300);
/// How long an honest sender waits before it tries again: each time twice as long, up
/// to a limit. Both are Postfix's.
const TRY_AGAIN: Duration = Duration::from_secs(300);
const LONGEST_WAIT: Duration = Duration::from_secs(4000);
/// How often an honest sender tries: for more than a day.
const TRIES: u32 = 30;
/// Ports of clients begin here.
const FIRST_PORT: u16 = 20_000;

/// A session under way.
pub(super) struct Session {
    role: Role,
    rng: Rng,
    replies: Replies,
    /// When the client last heard or said something.
    active_at: Duration,
    /// Whether the client has ended its direction.
    left: bool,
}

/// Who the client is.
pub(super) enum Role {
    /// A bot.
    Bot(Bot, Slot),
    /// An honest sender, by its number.
    Honest { sender: u32, visit: Box<Visit> },
}

impl Role {
    fn port(&self) -> u16 {
        let number = match self {
            Self::Bot(_, slot) => slot.sibling,
            Self::Honest { .. } => 0,
        };
        FIRST_PORT.saturating_add(u16::try_from(number).unwrap_or(u16::MAX))
    }
}

impl Stage<'_> {
    pub(super) fn open(&mut self, client: IpAddr, rng: Rng, role: Role) {
        let conn = self.sim.open(SocketAddr::new(client, role.port()), LOCAL);
        let active_at = self.sim.elapsed();
        let session = Session {
            role,
            rng,
            replies: Replies::default(),
            active_at,
            left: false,
        };
        self.sessions.insert(conn, session);
        self.schedule.add(active_at + PATIENCE, Task::GiveUp(conn));
    }

    /// A client has something new to read, or learns that its session is over.
    pub(super) fn hear(&mut self, conn: ConnId) {
        let taken = self.sim.take_client(conn);
        let now = self.sim.elapsed();
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.active_at = now;
        session.replies.read(&taken.bytes);
        while !session.left
            && let Some(reply) = session.replies.next()
        {
            let (next, pace) = match &mut session.role {
                Role::Bot(bot, _) => {
                    let next = bot.hear(&reply, self.plan, &mut session.rng);
                    (next, &self.plan.pace)
                }
                Role::Honest { visit, .. } => {
                    (Some(visit.hear(&reply, now)), &self.plan.honest_pace)
                }
            };
            let Some(next) = next else { continue };
            let at = now + time(&mut session.rng, pace);
            let task = match next {
                Next::Say(words) => Task::Say(conn, words),
                Next::Leave => Task::Leave(conn),
            };
            self.schedule.add(at, task);
        }
        if taken.ended {
            self.leave(conn);
        }
        self.end_if_over(conn);
    }

    pub(super) fn say(&mut self, conn: ConnId, words: &[u8]) {
        let now = self.sim.elapsed();
        if let Some(session) = self.sessions.get_mut(&conn)
            && !session.left
        {
            session.active_at = now;
            self.sim.client_write(conn, words);
        }
    }

    pub(super) fn leave(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(&conn)
            && !session.left
        {
            session.left = true;
            self.sim.client_half_close(conn);
        }
    }

    /// A client gives up a session in which nothing happens any more.
    pub(super) fn give_up(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get(&conn) else {
            return;
        };
        let until = session.active_at + PATIENCE;
        if until > self.sim.elapsed() {
            self.schedule.add(until, Task::GiveUp(conn));
        } else {
            self.sim.client_abort(conn);
        }
    }

    fn end_if_over(&mut self, conn: ConnId) {
        let led_to_server = self.sim.is_led_to_server(conn);
        let Some(summary) = self.sim.forget(conn) else {
            return;
        };
        let Some(session) = self.sessions.remove(&conn) else {
            return;
        };
        if !led_to_server {
            self.tally.turned_away(summary.peer.ip());
        }
        match session.role {
            Role::Bot(_, slot) => self.bot_session_over(slot, session.rng, &summary),
            Role::Honest { sender, visit } => self.visit_over(sender, *visit, &summary),
        }
    }

    fn bot_session_over(&mut self, slot: Slot, mut rng: Rng, summary: &Summary) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.tally.attack_session(summary);
        let left = slot.left.saturating_sub(1);
        if left > 0 {
            let at = self.sim.elapsed() + time(&mut rng, &self.plan.rest);
            self.schedule.add(at, Task::Attack(Slot { left, ..slot }));
        }
    }

    fn visit_over(&mut self, sender: u32, visit: Visit, summary: &Summary) {
        self.tally.honest_session(summary);
        let (kind, now) = (visit.kind, self.sim.elapsed());
        let mut again: Vec<Letter> = Vec::new();
        for (mut letter, fate, at) in visit.fates(now) {
            let repeated = letter.tries > 0;
            match fate {
                Fate::Delivered => {
                    let since = letter.since.unwrap_or(at);
                    self.tally
                        .delivered(kind, at.saturating_sub(since), repeated);
                }
                Fate::Lost(reason) => self.tally.lost(kind, &reason, repeated),
                Fate::Deferred(reason) => {
                    letter.tries += 1;
                    if letter.tries < TRIES {
                        again.push(letter);
                    } else {
                        self.tally.lost(kind, &reason, repeated);
                    }
                }
            }
        }
        if !again.is_empty() {
            self.come_again(sender, kind, again);
        }
    }

    fn come_again(&mut self, sender: u32, kind: Kind, letters: Vec<Letter>) {
        let tries = letters.iter().map(|letter| letter.tries).max();
        let at = self.sim.elapsed() + wait(tries.unwrap_or(1));
        let visit = Task::Visit {
            sender,
            kind,
            letters,
        };
        self.schedule.add(at, visit);
    }
}

/// How long an honest sender waits after so many tries in vain.
fn wait(tries: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    TRY_AGAIN.saturating_mul(doubled).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_senders_try_for_more_than_a_day() {
        let waits: Vec<u64> = (1..TRIES).map(|tries| wait(tries).as_secs()).collect();
        assert_eq!(waits[..5], [300, 600, 1200, 2400, 4000]);
        assert!(waits.iter().sum::<u64>() > 86_400);
    }
}
