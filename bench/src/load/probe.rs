//! How long one command takes while others are at work.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{Deliveries, bulk::Blocking, deliver};
use crate::stats::percentile;

/// Of commands, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latencies {
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

/// The time between two commands of the one client that is timed.
const PAUSE: Duration = Duration::from_micros(500);

/// Times the commands of one client, from a thread of its own, as long as these deliveries go on.
///
/// # Errors
/// If either fails.
pub fn probe(background: Deliveries) -> Result<Latencies> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let timed = scope.spawn(|| time_commands(background.server, &over));
        let delivered = deliver(background);
        over.store(true, Ordering::Relaxed);
        let timed = timed.join().map_err(|_| anyhow!("the timed client"))?;
        delivered?;
        timed
    })
}

fn time_commands(server: SocketAddr, over: &AtomicBool) -> Result<Latencies> {
    // The last client, which the others are not.
    let mut wire = Blocking::connect(super::CLIENTS - 1, server)?;
    wire.expect(b"", 220)?;
    wire.expect(b"EHLO mail.example.com\r\n", 250)?;
    let mut times = Vec::new();
    let mut time = |wire: &mut Blocking, command: &[u8], code| {
        let start = Instant::now();
        let told = wire.expect(command, code);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        thread::sleep(PAUSE);
        told
    };
    while !over.load(Ordering::Relaxed) {
        time(&mut wire, b"MAIL FROM:<carol@example.com>\r\n", 250)?;
        time(&mut wire, b"RCPT TO:<alice@example.test>\r\n", 250)?;
        time(&mut wire, b"RSET\r\n", 250)?;
    }
    wire.expect(b"QUIT\r\n", 221)?;
    times.sort_by(f64::total_cmp);
    let part = |percent| percentile(&times, percent).unwrap_or(f64::NAN);
    Ok(Latencies {
        p50: part(50),
        p99: part(99),
    })
}
