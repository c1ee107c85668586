//! What sessions of one client race for, under a thousand orders of events. A failure names its
//! seed: `HOST_SIM_SEED=n` replays it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use portcullis_host_sim::{
    ConnId, FilterModule, Simulator, for_seeds,
    mta::{Mailboxes, SimulatedMta},
};
use portcullis_tests::paths;

const WORKERS: usize = 2;
const SIBLINGS: u16 = 20;
/// Names a client without standing may try on each worker.
const BUDGET: u64 = 5;
const SERVER: Duration = Duration::from_millis(3);
const PATIENCE: Duration = Duration::from_secs(30);
const SEEDS: u64 = 1000;

fn builder(module: &FilterModule, seed: u64) -> (portcullis_host_sim::Builder, SimulatedMta) {
    let mailboxes = Mailboxes::new("example.test", ["alice", "bob"]);
    let builder = Simulator::builder_for(module)
        .plugin_config("{}")
        .workers(WORKERS)
        .seed(seed)
        .contention(20)
        .echo_cluster("portcullis_refusals")
        .server_delay(Duration::ZERO..=SERVER);
    (builder, SimulatedMta::new(mailboxes))
}

fn open(sim: &mut Simulator, port: u16) -> ConnId {
    let server = SocketAddr::from(([192, 0, 2, 25], 25));
    sim.open(([203, 0, 113, 7], 40_000 + port).into(), server)
}

/// A session that guesses as fast as it can: EHLO, then groups of five with RSET between.
fn guesses(session: u16) -> String {
    let mut text = String::from("EHLO bot.example.org\r\n");
    for group in 0..4 {
        text += "MAIL FROM:<offer@example.org>\r\n";
        for name in 0..5 {
            text += &format!("RCPT TO:<guess{session}.{group}.{name}@example.test>\r\n");
        }
        text += "RSET\r\n";
    }
    text
}

/// All is over, nothing trapped, and nothing waits for ever.
fn over(sim: &mut Simulator, conns: &[ConnId]) -> Result<()> {
    ensure!(sim.advance_until_quiet(PATIENCE), "still busy");
    ensure!(sim.traps().is_empty(), "{:?}", sim.traps());
    for conn in conns {
        let inbox = sim.client_inbox(*conn);
        ensure!(
            inbox.ended.is_some(),
            "a session of a listed client lives on: {inbox:?}"
        );
    }
    Ok(())
}

#[test]
fn twenty_siblings_cost_the_server_five_names_a_worker() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    for_seeds(0..SEEDS, |seed| -> Result<()> {
        let (builder, mta) = builder(&module, seed);
        let stats = mta.stats();
        let mut sim = builder.responder(mta).build()?;
        let conns: Vec<ConnId> = (0..SIBLINGS).map(|port| open(&mut sim, port)).collect();
        for (session, conn) in (0..).zip(&conns) {
            sim.client_write(*conn, guesses(session).as_bytes());
            let pause = sim.draw(0..=500);
            sim.advance(Duration::from_micros(pause));
        }
        sim.advance(Duration::from_millis(500));
        over(&mut sim, &conns)?;
        let asked = stats.snapshot().rcpt_unknown;
        ensure!(
            asked <= BUDGET * WORKERS as u64,
            "{asked} names asked about"
        );
        // Whoever comes later costs nothing any more.
        let before = stats.snapshot().connections;
        let late = open(&mut sim, 999);
        sim.advance(Duration::from_millis(300));
        over(&mut sim, &[late])?;
        ensure!(stats.snapshot().connections == before);
        let said = sim.take_client(late).bytes;
        ensure!(said.starts_with(b"421 4.7.1 "), "{said:?}");
        Ok(())
    })?;
    Ok(())
}

/// One message to several known recipients, all of it in two writes.
fn message(session: u16) -> [String; 2] {
    let rcpts = "RCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n".repeat(4);
    let envelope =
        format!("EHLO sender{session}.example.org\r\nMAIL FROM:<a@example.org>\r\n{rcpts}DATA\r\n");
    [envelope, "Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n".to_owned()]
}

#[test]
fn twenty_honest_sessions_at_once_all_deliver() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    for_seeds(0..SEEDS / 4, |seed| -> Result<()> {
        let (builder, mta) = builder(&module, seed);
        let stats = mta.stats();
        let mut sim = builder.responder(mta).build()?;
        let conns: Vec<ConnId> = (0..SIBLINGS).map(|port| open(&mut sim, port)).collect();
        // More recipients in all than a client may try at once, of one that nobody knows yet.
        for (session, conn) in (0..).zip(&conns) {
            sim.client_write(*conn, message(session)[0].as_bytes());
        }
        sim.advance(Duration::from_secs(1));
        for (session, conn) in (0..).zip(&conns) {
            let said = sim.take_client(*conn).bytes;
            let said = String::from_utf8_lossy(&said);
            ensure!(said.contains("\r\n354 "), "session {session} waits: {said}");
            sim.client_write(*conn, message(session)[1].as_bytes());
        }
        over(&mut sim, &conns)?;
        ensure!(stats.snapshot().messages == u64::from(SIBLINGS));
        Ok(())
    })?;
    Ok(())
}

#[test]
fn a_long_list_keeps_no_other_session_of_its_client_waiting() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    for_seeds(0..SEEDS / 20, |seed| -> Result<()> {
        let (builder, mta) = builder(&module, seed);
        // Every look-up is a callout.
        let callout = Duration::from_secs(5)..=Duration::from_secs(5);
        let builder = builder.workers(1).server_delay(callout);
        let mut sim = builder.responder(mta).build()?;
        let conns: Vec<ConnId> = (0..SIBLINGS).map(|port| open(&mut sim, port)).collect();
        let list = "RCPT TO:<alice@example.test>\r\n".repeat(200);
        for (session, conn) in (0..).zip(&conns) {
            let [mut envelope, _] = message(session);
            if session < 5 {
                envelope = envelope.replace("DATA\r\n", &format!("{list}DATA\r\n"));
            }
            sim.client_write(*conn, envelope.as_bytes());
        }
        // Greeting, EHLO, MAIL, and eight recipients in turn with nineteen other sessions.
        sim.advance(Duration::from_secs(15 + 5 * 8 * 20 / 5 + 60));
        for (session, conn) in (0..).zip(&conns).skip(5) {
            let said = sim.take_client(*conn).bytes;
            let said = String::from_utf8_lossy(&said);
            ensure!(said.contains("\r\n354 "), "session {session} waits: {said}");
        }
        ensure!(sim.traps().is_empty(), "{:?}", sim.traps());
        Ok(())
    })?;
    Ok(())
}

#[test]
fn siblings_that_leave_by_themselves_trap_nobody() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    for_seeds(0..SEEDS, |seed| -> Result<()> {
        let (builder, mta) = builder(&module, seed);
        let stats = mta.stats();
        let mut sim = builder.responder(mta).build()?;
        let conns: Vec<ConnId> = (0..SIBLINGS).map(|port| open(&mut sim, port)).collect();
        for (session, conn) in (0..).zip(&conns) {
            sim.client_write(*conn, guesses(session).as_bytes());
        }
        // Some go while the first ones are being listed.
        for conn in &conns {
            let pause = sim.draw(0..=600);
            sim.advance(Duration::from_micros(pause));
            match sim.draw(0..=3) {
                0 => sim.client_abort(*conn),
                1 => sim.client_half_close(*conn),
                _ => {}
            }
        }
        sim.advance(Duration::from_millis(500));
        ensure!(sim.advance_until_quiet(PATIENCE), "still busy");
        ensure!(sim.traps().is_empty(), "{:?}", sim.traps());
        let asked = stats.snapshot().rcpt_unknown;
        ensure!(
            asked <= BUDGET * WORKERS as u64,
            "{asked} names asked about"
        );
        Ok(())
    })?;
    Ok(())
}
