//! Small messages, one command at a time.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    runtime::Runtime,
    task::{JoinSet, LocalSet},
};

use super::{CLIENTS, DEADLINE, client, run, wire::Wire};

/// The message: a short text with its headers.
const BODY: &str = "From: <carol@example.com>\r\nTo: <alice@example.test>\r\nSubject: minutes\r\n\
                    \r\nThe minutes of Tuesday's meeting are below.\r\n..and a dot\r\n.\r\n";

/// How many messages a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerConnection {
    /// One; then it is closed, and the next one opened.
    One,
    /// As many as there are.
    Many,
}

/// Messages to be delivered.
#[derive(Debug, Clone, Copy)]
pub struct Deliveries {
    /// To whom.
    pub server: SocketAddr,
    /// How many.
    pub messages: usize,
    /// How many connections at once.
    pub at_once: usize,
    /// How many messages on each.
    pub per_connection: PerConnection,
    /// The time from the beginning of one message to that of the next on a connection; zero for as
    /// fast as it goes.
    pub pace: Duration,
}

/// What became of them.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// Messages that the server took.
    pub messages: usize,
    /// In how many seconds.
    pub seconds: f64,
}

/// Delivers them all.
///
/// # Errors
/// If one of them fails.
pub fn deliver(plan: Deliveries) -> Result<Delivered> {
    let start = Instant::now();
    run(&format!("delivering to {}", plan.server), async {
        let left = Rc::new(Cell::new(plan.messages));
        let local = LocalSet::new();
        local
            .run_until(async {
                let mut running = JoinSet::new();
                for number in 0..plan.at_once {
                    let left = Rc::clone(&left);
                    running.spawn_local(sender(plan, number, left));
                }
                while let Some(ended) = running.join_next().await {
                    ended.map_err(io::Error::other)??;
                }
                Ok(())
            })
            .await
    })?;
    Ok(Delivered {
        messages: plan.messages,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Connections that are open, and stay so from one delivery to the next.
#[derive(Debug)]
pub struct Kept {
    runtime: Runtime,
    wires: Vec<Wire>,
}

impl Kept {
    /// Opens so many.
    ///
    /// # Errors
    /// If one is not let in.
    pub fn open(server: SocketAddr, count: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let wires = runtime.block_on(in_time(async {
            let mut wires = Vec::new();
            for number in 0..count {
                wires.push(enter(number, server).await?);
            }
            Ok(wires)
        }))?;
        Ok(Self { runtime, wires })
    }

    /// Delivers this many messages over all of them.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn deliver(&mut self, messages: usize) -> Result<Delivered> {
        let start = Instant::now();
        let left = Rc::new(Cell::new(messages));
        let wires = std::mem::take(&mut self.wires);
        self.wires = self
            .runtime
            .block_on(in_time(LocalSet::new().run_until(async {
                let mut running = JoinSet::new();
                for mut wire in wires {
                    let left = Rc::clone(&left);
                    running.spawn_local(async move {
                        while take(&left) {
                            message(&mut wire).await?;
                        }
                        io::Result::Ok(wire)
                    });
                }
                let mut wires = Vec::new();
                while let Some(wire) = running.join_next().await {
                    wires.push(wire.map_err(io::Error::other)??);
                }
                Ok(wires)
            })))?;
        Ok(Delivered {
            messages,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// If it is not answered.
    pub fn close(self) -> Result<()> {
        let Self { runtime, wires } = self;
        runtime.block_on(in_time(async {
            for mut wire in wires {
                wire.expect("QUIT\r\n", 221).await?;
            }
            Ok(())
        }))
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> Result<T> {
    Ok(tokio::time::timeout(DEADLINE, work).await??)
}

async fn enter(number: usize, server: SocketAddr) -> io::Result<Wire> {
    let mut wire = Wire::greeted(client(number % CLIENTS), server).await?;
    wire.expect("EHLO mail.example.com\r\n", 250).await?;
    Ok(wire)
}

fn take(left: &Cell<usize>) -> bool {
    let taken = left.get().checked_sub(1);
    left.set(taken.unwrap_or_default());
    taken.is_some()
}

async fn sender(plan: Deliveries, number: usize, left: Rc<Cell<usize>>) -> io::Result<()> {
    let mut next = Instant::now() + spread_out(plan.pace, number, plan.at_once);
    let mut visit = number;
    let mut wire: Option<Wire> = None;
    while take(&left) {
        if !plan.pace.is_zero() {
            tokio::time::sleep_until(next.into()).await;
            next += plan.pace;
        }
        let mut open = match wire.take() {
            Some(open) => open,
            None => enter(visit, plan.server).await?,
        };
        message(&mut open).await?;
        match plan.per_connection {
            PerConnection::Many => wire = Some(open),
            PerConnection::One => {
                open.expect("QUIT\r\n", 221).await?;
                visit += plan.at_once;
            }
        }
    }
    match wire {
        Some(mut open) => open.expect("QUIT\r\n", 221).await,
        None => Ok(()),
    }
}

/// Senders do not all begin in the same moment.
fn spread_out(pace: Duration, number: usize, of: usize) -> Duration {
    let part = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    pace * part(number) / part(of.max(1))
}

/// One message for one recipient.
pub(crate) async fn message(wire: &mut Wire) -> io::Result<()> {
    wire.expect("MAIL FROM:<carol@example.com>\r\n", 250)
        .await?;
    wire.expect("RCPT TO:<alice@example.test>\r\n", 250).await?;
    wire.expect("DATA\r\n", 354).await?;
    wire.expect(BODY, 250).await
}
