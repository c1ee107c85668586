//! Many sessions, under TLS or not: whether all of them succeed, what one costs Envoy, and whether memory
//! grows with them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::{Pid, SysconfVar, sysconf},
};

use crate::{
    Error,
    envoy::Envoy,
    smtp::{Client, Reply},
    tls::TlsClient,
};

/// When a session's TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Never.
    Never,
    /// When the client asks for it by STARTTLS.
    StartTls,
    /// With the connection.
    Connect,
    /// With the connection, and two NOOPs stand for the EHLO and the STARTTLS that the other way
    /// takes: what is left is the cost of changing the transport.
    ConnectAndTwoMore,
}

/// The message that a session delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// One line, so that nearly all of the session is its dialogue.
    Short,
    /// 30 KiB, as mail with a signature, a trail of headers and an answered letter below it has.
    Usual,
}

impl Message {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Short, Self::Usual];

    /// Its text, without the line end behind the final dot.
    #[must_use]
    pub fn text(self) -> String {
        let line = "The minutes of the meeting, as they were written down by somebody there.\r\n";
        let lines = match self {
            Self::Short => 1,
            Self::Usual => 30 * 1024 / line.len(),
        };
        format!("Subject: minutes\r\n\r\n{}.", line.repeat(lines))
    }
}

/// What sessions have in common.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where they go.
    pub to: SocketAddr,
    /// How they begin.
    pub begin: Begin,
    /// What they deliver.
    pub message: Message,
}

/// One whole session: a message for a known recipient.
///
/// # Errors
/// [`Error::Smtp`] at the first step that fails.
pub fn session(from: IpAddr, plan: Plan, tls: &TlsClient) -> Result<(), Error> {
    let Plan { to, begin, message } = plan;
    let client = Client::connect_from(from, to)?;
    let client = match begin {
        Begin::Connect | Begin::ConnectAndTwoMore => {
            let mut client = client.handshake(tls)?;
            expect(220, client.reply()?)?;
            if begin == Begin::ConnectAndTwoMore {
                expect(250, client.command("NOOP")?)?;
                expect(250, client.command("NOOP")?)?;
            }
            client
        }
        Begin::Never => {
            let mut client = client;
            expect(220, client.reply()?)?;
            client
        }
        Begin::StartTls => {
            let mut client = client;
            expect(220, client.reply()?)?;
            switch(client, tls)?
        }
    };
    deliver(client, message)
}

/// Takes a client that was greeted to TLS.
///
/// # Errors
/// As [`session`].
pub fn switch(mut client: Client, tls: &TlsClient) -> Result<Client, Error> {
    expect(250, client.command("EHLO client.example.org")?)?;
    client.starttls(tls)
}

/// The rest of a session.
///
/// # Errors
/// As [`session`].
pub fn deliver(mut client: Client, message: Message) -> Result<(), Error> {
    for (command, code) in [
        ("EHLO client.example.org", 250),
        ("MAIL FROM:<sender@example.org>", 250),
        ("RCPT TO:<alice@example.test>", 250),
        ("DATA", 354),
        (&message.text(), 250),
        ("QUIT", 221),
    ] {
        expect(code, client.command(command)?)?;
    }
    Ok(())
}

fn expect(code: u16, reply: Reply) -> Result<(), Error> {
    if reply.code == code {
        return Ok(());
    }
    let problem = format!("{:?} in place of {code}", reply.lines);
    Err(Error::smtp("a session of many")(std::io::Error::other(
        problem,
    )))
}

/// A client's address by its number. There are few, so that what the guard remembers of clients does
/// not grow with the sessions.
#[must_use]
pub fn client_address(number: usize) -> IpAddr {
    let last = u8::try_from(number % 250).unwrap_or_default();
    Ipv4Addr::new(127, 91, 0, last.saturating_add(1)).into()
}

/// Runs `count` sessions, `at_once` of them at any time; the errors of those that failed.
#[must_use]
pub fn sessions(plan: Plan, count: usize, at_once: NonZero<usize>) -> Vec<Error> {
    let tls = TlsClient::new();
    let begun = AtomicUsize::new(0);
    let run = || {
        let mut failed = Vec::new();
        loop {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return failed;
            }
            failed.extend(session(client_address(number), plan, &tls).err());
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once.get()).map(|_| scope.spawn(run)).collect();
        let done = threads.into_iter().flat_map(|thread| thread.join());
        done.flatten().collect()
    })
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// CPU time in user and system mode, seconds.
    pub cpu: f64,
    /// Resident memory, octets.
    pub memory: f64,
}

impl Usage {
    /// Of Envoy.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Content`] if the kernel does not tell.
    pub fn of(envoy: &mut Envoy) -> Result<Self, Error> {
        let path = format!("/proc/{}/statm", envoy.process().id());
        let told = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let missing = || Error::Content {
            path: path.clone().into(),
            reason: "no usage in it".into(),
        };
        let number = |text: Option<&str>| text?.parse::<u32>().ok().map(f64::from);
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page = page.and_then(|octets| u32::try_from(octets).ok());
        let pages = number(told.split_ascii_whitespace().nth(1));
        let (pages, page) = pages.zip(page).ok_or_else(missing)?;
        Ok(Self {
            cpu: cpu_time(envoy.process().id()).ok_or_else(missing)?,
            memory: pages * f64::from(page),
        })
    }
}

/// By the process's own clock: `/proc` tells in hundredths of a second, which is much of a round.
fn cpu_time(id: u32) -> Option<f64> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(id.try_into().ok()?)).ok()?;
    Some(Duration::from(clock.now().ok()?).as_secs_f64())
}

/// The one in the middle.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How steeply `values`, one a step, rise: the slope of the straight line that fits best.
#[must_use]
pub fn slope(values: &[f64]) -> f64 {
    let steps = || (0..).map(f64::from).take(values.len());
    let count = steps().count().max(1);
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let mean_step = steps().sum::<f64>() / count;
    let mean_value = values.iter().sum::<f64>() / count;
    let (mut rise, mut run) = (0.0, 0.0);
    for (step, value) in steps().zip(values) {
        rise += (step - mean_step) * (value - mean_value);
        run += (step - mean_step).powi(2);
    }
    if run == 0.0 { 0.0 } else { rise / run }
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn a_line_has_its_slope_and_noise_has_none() {
        assert!((slope(&[1.0, 3.0, 5.0, 7.0]) - 2.0).abs() < 1e-9);
        assert!(slope(&[4.0, 5.0, 5.0, 4.0]).abs() < 1e-9);
        assert!(slope(&[3.0]).abs() < 1e-9);
    }
}
