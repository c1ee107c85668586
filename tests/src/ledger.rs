//! Clients that come more than once: what is remembered of them between sessions, and what their
//! other sessions are told.

mod server;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    envoy::Envoy,
    postfix::Postfix,
    smtp::{Client, Reply},
    stand::{rcpt, rcpts},
};

pub use server::{PatientServer, Tally};

/// How every reply begins that tells a listed client so.
pub const LISTED: &str = "421 4.7.1 ";

/// A loopback address that no client of this test has come from.
pub fn newcomer() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 70, high, low).into()
}

/// What a client is told at the door.
///
/// # Errors
/// [`Error::Smtp`] if there is no connection or no reply.
pub fn knock(from: IpAddr, to: SocketAddr) -> Result<(Client, Reply), Error> {
    let mut client = Client::connect_from(from, to)?;
    let reply = client.reply()?;
    Ok((client, reply))
}

/// A session of a client that was let in and has said EHLO and MAIL.
///
/// # Errors
/// [`Error::Smtp`] if it was not.
pub fn session(from: IpAddr, to: SocketAddr) -> Result<Client, Error> {
    let (mut client, _) = knock(from, to)?;
    client.command("EHLO client.example.org")?;
    client.command("MAIL FROM:<sender@example.org>")?;
    Ok(client)
}

/// Gets a client listed by guesses in one session.
///
/// # Errors
/// [`Error::Smtp`] if the client is not let in, [`Error::Late`] if its session goes on.
pub fn get_listed(from: IpAddr, to: SocketAddr) -> Result<(), Error> {
    let mut client = session(from, to)?;
    client.send(rcpts("guess", 5))?;
    let read = client.read_until_closed()?;
    match read.lines().last() {
        Some(last) if last.starts_with("421 ") => Ok(()),
        _ => Err(Error::Late {
            what: format!("the last word to {from}"),
            within: PATIENCE,
            hint: format!("; read: {read:?}"),
        }),
    }
}

/// How a bot guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// All in one write.
    Pipelines,
    /// Each name after the reply to the one before.
    OneByOne,
    /// Two names, then RSET, EHLO or a new MAIL.
    Resets,
    /// It comes again at once, three times, when it is cut.
    Returns,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pipelines, Self::OneByOne, Self::Resets, Self::Returns];

    /// Guesses at most twenty names beginning with `name` in each session, until it is cut. A
    /// session may end at any moment, so that nothing it reads is an error.
    pub fn guess(self, from: IpAddr, to: SocketAddr, name: &str) {
        let times = if self == Self::Returns { 3 } else { 1 };
        for time in 0..times {
            let _ = self.guess_once(from, to, &format!("{name}.{time}."));
        }
    }

    fn guess_once(self, from: IpAddr, to: SocketAddr, name: &str) -> Result<(), Error> {
        let mut client = session(from, to)?;
        if matches!(self, Self::Pipelines | Self::Returns) {
            client.send(rcpts(name, 20))?;
            client.read_until_closed()?;
            return Ok(());
        }
        let between = ["RSET", "EHLO bot.example.org", "MAIL FROM:<b@example.org>"];
        for guess in 0..20 {
            if self == Self::Resets && guess % 2 == 1 {
                client.command(between.get(guess % 3).copied().unwrap_or("RSET"))?;
                client.command("MAIL FROM:<offer@example.org>")?;
            }
            client.command(&rcpt(&format!("{name}{guess}")))?;
        }
        Ok(())
    }
}

/// How many unknown recipients of a client Postfix has looked up, once its sessions are over. To be
/// asked of a Postfix that is told the client.
///
/// # Errors
/// [`Error::Late`] if a session stays open, or as [`crate::postfix::Log::text`].
pub fn unknown_lookups(postfix: &Postfix, client: IpAddr) -> Result<usize, Error> {
    let by = format!("from unknown[{client}]");
    wait_for(&format!("the sessions of {client}"), PATIENCE, || {
        let text = postfix.log().text()?;
        let count = |what: &str| {
            let lines = text.lines().filter(|line| line.contains(&by));
            lines.filter(|line| line.contains(what)).count()
        };
        let (begun, over) = (count(": connect "), count(": disconnect "));
        Ok(if begun > over {
            Seen::NotYet(format!("{begun} begun, {over} over"))
        } else {
            Seen::Done(count("reject: RCPT "))
        })
    })
}

/// The value of one of the filter's counters, such as `siblings_cut`.
///
/// # Errors
/// [`Error::Admin`] if Envoy does not say.
pub fn count(envoy: &Envoy, name: &str) -> Result<u64, Error> {
    envoy.admin().count(name)
}

/// Waits until a client that knocks is told something that begins so. Each knock that is let in is
/// a session without a word.
///
/// # Errors
/// [`Error::Late`] with what it was told last.
pub fn wait_until_told(from: IpAddr, to: SocketAddr, start: &str) -> Result<(), Error> {
    wait_for(&format!("{start} for {from}"), PATIENCE, || {
        let (_, reply) = knock(from, to)?;
        Ok(if reply.starts_with(start) {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{reply:?}"))
        })
    })
}
