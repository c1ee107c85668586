//! Many sessions that are open at the same time and do nothing.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::{runtime::Runtime, task::JoinSet};

use super::{client, wire::Wire};

/// Connections opened at once: no more than a queue of connections not yet accepted holds.
const OPENING: usize = 100;
/// How many addresses they have: each has fewer sessions than the guard allows one client.
const CROWD: usize = 2000;
/// How long all may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// What sessions are in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They have been greeted, and said EHLO.
    Idle,
    /// They are in a message, some of which the server has.
    Busy,
}

/// Open sessions; dropping it closes them.
#[derive(Debug)]
pub struct Crowd {
    runtime: Runtime,
    open: Vec<Wire>,
}

impl Crowd {
    /// Nobody yet.
    ///
    /// # Errors
    /// If there is no runtime to be had.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            open: Vec::new(),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens more, until there are this many.
    ///
    /// # Errors
    /// If one is not let in, or they are late.
    pub fn grow(&mut self, server: SocketAddr, to: usize, state: State) -> Result<()> {
        let from = self.open.len();
        let opened = self.runtime.block_on(async {
            let all = open(server, from, to, state);
            tokio::time::timeout(DEADLINE, all).await
        })??;
        self.open.extend(opened);
        Ok(())
    }
}

async fn open(server: SocketAddr, from: usize, to: usize, state: State) -> io::Result<Vec<Wire>> {
    let mut opening = JoinSet::new();
    let mut opened = Vec::with_capacity(to - from);
    let mut next = from..to;
    loop {
        while opening.len() < OPENING {
            let Some(number) = next.next() else { break };
            opening.spawn(enter(server, number, state));
        }
        let Some(entered) = opening.join_next().await else {
            return Ok(opened);
        };
        opened.push(entered.map_err(io::Error::other)??);
    }
}

async fn enter(server: SocketAddr, number: usize, state: State) -> io::Result<Wire> {
    let mut wire = Wire::greeted(client(number % CROWD), server).await?;
    wire.expect("EHLO mail.example.com\r\n", 250).await?;
    if state == State::Busy {
        wire.expect("MAIL FROM:<carol@example.com>\r\n", 250)
            .await?;
        wire.expect("RCPT TO:<alice@example.test>\r\n", 250).await?;
        wire.expect("DATA\r\n", 354).await?;
        wire.send(&super::large_message(4096)).await?;
    }
    Ok(wire)
}
