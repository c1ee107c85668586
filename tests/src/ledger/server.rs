//! A mail server whose replies come when they are wanted, so that they can be owed.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::Error;

/// How long a reply is held back at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that knows every name not beginning with `guess`, takes any password, and answers a
/// line or a message with `slow` in it only once it is told to. It lasts as long as this process.
#[derive(Debug)]
pub struct PatientServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the server has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections taken.
    pub connections: usize,
    /// Recipients looked up.
    pub lookups: usize,
    /// Replies held back so far, released or not.
    pub owed: usize,
    /// Of these, replies to whole messages.
    pub messages: usize,
    released: usize,
}

#[derive(Debug, Default)]
struct Shared {
    tally: Mutex<Tally>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until the replies are released.
    fn hold(&self) {
        let round = self.lock().released;
        let waits = |tally: &mut Tally| tally.released == round;
        let _ = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, waits);
    }
}

impl PatientServer {
    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// [`Error::Address`] if there is none.
    pub fn start() -> Result<Self, Error> {
        let listen = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen().map_err(|source| Error::Address {
            address: "127.0.0.1:0".into(),
            source,
            flag: "nothing; free some ports",
        })?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                shared.note(|tally| tally.connections += 1);
                // A client that goes away is no error of the server's.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        *self.shared.lock()
    }

    /// Waits until it has seen enough, and says what; after a while it says so anyway.
    #[must_use]
    pub fn wait_until(&self, enough: impl Fn(&Tally) -> bool) -> Tally {
        let guard = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(guard, PATIENCE, |tally| !enough(tally));
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sends the replies held back; later ones wait for the next release.
    pub fn release(&self) {
        self.shared.note(|tally| tally.released += 1);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream;
    out.write_all(b"220 mx.example.test ESMTP\r\n")?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let said = std::mem::take(&mut line).to_ascii_lowercase();
        if said.starts_with("rcpt") {
            shared.note(|tally| tally.lookups += 1);
        }
        if said.contains("slow") {
            shared.note(|tally| tally.owed += 1);
            shared.hold();
        }
        out.write_all(reply(&said))?;
        if said.starts_with("quit") {
            break;
        }
        if said.starts_with("data") {
            take_message(&mut lines, shared)?;
            out.write_all(b"250 2.0.0 Taken\r\n")?;
        }
    }
    Ok(())
}

fn reply(said: &str) -> &'static [u8] {
    match said.get(..4).unwrap_or_default() {
        "ehlo" => b"250-mx.example.test\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n",
        "auth" => b"235 2.7.0 Welcome\r\n",
        "rcpt" if said.contains("<guess") => b"550 5.1.1 No such user\r\n",
        "data" => b"354 Go on\r\n",
        "quit" => b"221 2.0.0 Bye\r\n",
        _ => b"250 2.0.0 Ok\r\n",
    }
}

fn take_message(lines: &mut impl BufRead, shared: &Shared) -> io::Result<()> {
    let (mut line, mut slow) = (String::new(), false);
    while line != ".\r\n" {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        slow |= line.contains("slow");
    }
    if slow {
        shared.note(|tally| {
            tally.messages += 1;
            tally.owed += 1;
        });
        shared.hold();
    }
    Ok(())
}
