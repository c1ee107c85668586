//! Who comes to the fleet: honest senders, who try again until their mail is taken, as mail servers
//! do, and bots that guess.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use portcullis_tests::{
    Error, deadline::Seen, deadline::wait_for, smtp::Client, stand::MAIL, stand::rcpt,
};

/// How long a sender rests between two mails. Many who send seldom, and not few who send always:
/// whoever meets a pod that is cut off waits there, and the others must not all be such.
const REST: Duration = Duration::from_millis(1500);

/// A mail that the server has taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    began: Instant,
    done: Instant,
    /// An earlier try broke off after the message was out: it may have been taken as well, which no
    /// sender can know (RFC 5321 section 4.5.3.2.6).
    unsure: bool,
}

/// What came of it all.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    stop: AtomicBool,
    mails: Mutex<BTreeMap<String, Taken>>,
    next: AtomicU64,
    guesses: AtomicU64,
    refusals: AtomicU64,
}

impl Traffic {
    /// Sends one mail after the other until it is told to stop; each is tried until it is taken.
    pub(crate) fn send(&self, sender: u8, to: SocketAddr) {
        let from = Ipv4Addr::new(127, 62, 0, sender).into();
        // Not all at the same time.
        self.rest(REST * u32::from(sender % 16) / 16);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let id = format!("honest-{number}@sender.example.org");
            let began = Instant::now();
            let mut unsure = false;
            loop {
                match deliver(from, to, &id) {
                    Tried::Taken => break,
                    Tried::Unsure => unsure = true,
                    Tried::No => {}
                }
                thread::sleep(Duration::from_millis(20));
            }
            let done = Instant::now();
            let taken = Taken {
                began,
                done,
                unsure,
            };
            self.lock().insert(id, taken);
            self.rest(REST);
        }
    }

    fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Guesses names, in one session after the other, until it is told to stop.
    pub(crate) fn guess(&self, bot: u8, to: SocketAddr) {
        let mut from = 0;
        while !self.stop.load(Ordering::Relaxed) {
            // Every twentieth session is that of another machine, or all would be refused soon.
            let [.., high, low] = u32::to_be_bytes(from / 20);
            from += 1;
            let address = Ipv4Addr::new(127, 64 + bot % 32, high, low).into();
            let guessed = guess(address, to).unwrap_or_default();
            self.guesses.fetch_add(guessed, Ordering::Relaxed);
            self.refusals
                .fetch_add(u64::from(guessed == 0), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everybody finishes what is begun, and stops.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until so many more mails have been taken that began only now; how long the first took.
    pub(crate) fn flows(&self, count: usize, within: Duration) -> Result<Duration, Error> {
        let now = Instant::now();
        wait_for("honest mail to flow", within, || {
            let mails = self.lock();
            let later = mails.values().filter(|mail| mail.began >= now);
            let mut done: Vec<Instant> = later.map(|mail| mail.done).collect();
            done.sort();
            Ok(match done.first() {
                Some(first) if done.len() >= count => Seen::Done(*first - now),
                _ => Seen::NotYet(format!("{} mails", done.len())),
            })
        })
    }

    /// The mails taken so far, and whether each may have been taken twice.
    pub(crate) fn mails(&self) -> BTreeMap<String, bool> {
        let mails = self.lock();
        mails
            .iter()
            .map(|(id, mail)| (id.clone(), mail.unsure))
            .collect()
    }

    /// How many names were asked for, and how many sessions were refused at once.
    pub(crate) fn attack(&self) -> (u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (read(&self.guesses), read(&self.refusals))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Taken>> {
        self.mails
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What came of one try.
enum Tried {
    Taken,
    Unsure,
    No,
}

fn deliver(from: IpAddr, to: SocketAddr, id: &str) -> Tried {
    let Ok(mut client) = envelope(from, to) else {
        return Tried::No;
    };
    let message = format!("Message-ID: <{id}>\r\nSubject: x\r\n\r\nx\r\n.");
    match client.command(&message) {
        Ok(reply) if reply.code == 250 => {
            let _ = client.command("QUIT");
            Tried::Taken
        }
        Ok(_) => Tried::No,
        Err(_) => Tried::Unsure,
    }
}

/// A session that is about to send a message.
pub(crate) fn envelope(from: IpAddr, to: SocketAddr) -> Result<Client, Error> {
    let mut client = Client::connect_from(from, to)?;
    // A refusal is no envelope either.
    client.reply()?;
    client.dialogue(&MAIL[..4])?;
    Ok(client)
}

/// Guesses until it is cut; how many names it was answered.
pub(crate) fn guess(from: IpAddr, to: SocketAddr) -> Result<u64, Error> {
    let mut client = Client::connect_from(from, to)?;
    if client.reply()?.code != 220 {
        return Ok(0);
    }
    client.command("EHLO bot.example.net")?;
    client.command("MAIL FROM:<>")?;
    for guess in 1..=20 {
        if client.command(&rcpt(&format!("guess{guess}")))?.code == 421 {
            return Ok(guess);
        }
    }
    Ok(20)
}
