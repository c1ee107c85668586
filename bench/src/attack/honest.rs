//! The honest senders: one message each, at their own pace, tried again if it is not taken.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::Size;
use crate::load::{Wire, message};

/// How many addresses they have.
const SENDERS: usize = 50;
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time between two tries; senders of the field wait longer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long after the attack a message may still be delivered.
const GRACE: Duration = Duration::from_secs(10);

/// What became of each message: after how long it was taken, if it was.
pub(super) async fn deliver(size: Size, server: SocketAddr) -> io::Result<Vec<Option<Duration>>> {
    let pause = Duration::from_secs_f64(1.0 / size.honest);
    let start = Instant::now();
    let mut running = JoinSet::new();
    let mut number = 0;
    let mut next = tokio::time::Instant::now();
    while start.elapsed() < size.lasts {
        let left = size.lasts + GRACE - start.elapsed();
        running.spawn(async move { timeout(left, send(number, server)).await.ok() });
        number += 1;
        next += pause;
        tokio::time::sleep_until(next).await;
    }
    let mut delays = Vec::new();
    while let Some(delay) = running.join_next().await {
        delays.push(delay.map_err(io::Error::other)?);
    }
    Ok(delays)
}

async fn send(number: usize, server: SocketAddr) -> Duration {
    let start = Instant::now();
    while !matches!(timeout(PATIENCE, once(number, server)).await, Ok(Ok(()))) {
        sleep(AGAIN).await;
    }
    start.elapsed()
}

async fn once(number: usize, server: SocketAddr) -> io::Result<()> {
    let mut wire = Wire::greeted(address(number), server).await?;
    wire.expect("EHLO mail.example.com\r\n", 250).await?;
    message(&mut wire).await?;
    // It is delivered, whether or not the server still says goodbye.
    let _ = wire.expect("QUIT\r\n", 221).await;
    Ok(())
}

/// 127.21.0.1 and on.
fn address(number: usize) -> Ipv4Addr {
    let last = u8::try_from(number % SENDERS).unwrap_or_default();
    Ipv4Addr::new(127, 21, 0, last + 1)
}
