//! How many rejected recipients one core of Envoy bears.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{
    envoy::{EnvoyConfig, Guard},
    host_sim::Mta,
};

use super::bot_address;
use crate::{
    figures::{Figures, Measure, higher},
    load::{Wire, run},
    usage::Measured,
};

/// Rejected recipients for each second of Envoy's CPU.
pub const REJECTS: Measure = higher(
    "attack.rejects",
    "rejected recipients for each second of one core",
    "",
);

/// Sessions at once.
const AT_ONCE: usize = 50;

/// Sessions of clients that nobody knows, each of which guesses until it is cut: everything that a
/// rejected recipient costs is in it, its share of the connection and of the cut as well.
///
/// # Errors
/// If a session goes otherwise.
pub fn rejects_per_core(sessions: usize, figures: &mut Figures) -> Result<()> {
    let server = Mta::answering("451 4.1.1 No such user").start()?;
    let config = EnvoyConfig::before(server.address(), Guard::with_defaults()?);
    let mut envoy = config.workers(1).start()?;
    let (address, measured) = (envoy.address(), Measured::all_of(envoy.process().id()));
    let before = measured.usage()?;
    let rejected = run("guessing", async {
        let mut rejected = 0;
        let mut next = (0..sessions).map(|bot| guess(bot, address));
        let mut running = tokio::task::JoinSet::new();
        loop {
            while running.len() < AT_ONCE {
                let Some(session) = next.next() else { break };
                running.spawn(session);
            }
            match running.join_next().await {
                Some(session) => rejected += session.map_err(std::io::Error::other)??,
                None => return Ok(rejected),
            }
        }
    })?;
    let cpu = measured.usage()?.cpu - before.cpu;
    ensure!(
        rejected >= sessions,
        "{rejected} guesses in {sessions} sessions"
    );
    let rejected = super::float(rejected);
    figures.add(REJECTS, "portcullis", rejected / cpu);
    Ok(())
}

/// Guesses one by one until it is cut; how many were answered.
async fn guess(bot: usize, server: std::net::SocketAddr) -> std::io::Result<usize> {
    const MOST: usize = 20;
    let mut wire = Wire::connect(bot_address(bot), server).await?;
    let told = tokio::time::timeout(Duration::from_secs(30), wire.reply()).await??;
    if told != Some(220) {
        return Ok(0);
    }
    wire.expect("EHLO bot.example.org\r\n", 250).await?;
    wire.expect("MAIL FROM:<offer@bot.example.org>\r\n", 250)
        .await?;
    for guess in 0..MOST {
        let rcpt = format!("RCPT TO:<guess{bot}.{guess}@example.test>\r\n");
        wire.send(rcpt.as_bytes()).await?;
        match wire.reply().await? {
            Some(421) => return Ok(guess + 1),
            None => return Ok(guess),
            Some(_) => {}
        }
    }
    Err(std::io::Error::other(format!(
        "{MOST} guesses, and not cut"
    )))
}
