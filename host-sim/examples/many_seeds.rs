//! Runs a filter under many seeds and says how long one run takes. With
//! `HOST_SIM_SEED=n` it runs that one, and shows what happened.
//!
//! ```sh
//! cargo run --release -p portcullis-host-sim --example many_seeds -- FILTER.wasm [SEEDS] [POLICY.json]
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use portcullis_host_sim::mta::{Mailboxes, SimulatedMta};
use portcullis_host_sim::{FilterModule, Simulator, for_seeds};

const CONNECTIONS: u16 = 20;
/// What every client says.
const DIALOGUE: [&str; 10] = [
    "EHLO client.example.test\r\n",
    "MAIL FROM:<a@client.example.test>\r\n",
    "RCPT TO:<alice@example.test>\r\n",
    "RCPT TO:<nobody@example.test>\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "MAIL FROM:<b@client.example.test>\r\n",
    "RCPT TO:<bob@example.test>\r\n",
    "RSET\r\n",
    "QUIT\r\n",
];
const SERVER_DELAY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let wasm = arguments
        .next()
        .context("which filter? give a .wasm file")?;
    let seeds: u64 = arguments.next().map_or(Ok(100), |count| count.parse())?;
    let policy = arguments.next().map_or(Ok(b"{}".to_vec()), std::fs::read)?;
    let started = Instant::now();
    let module = FilterModule::from_file(Path::new(&wasm))?;
    println!("compiled in {:?}", started.elapsed());
    let started = Instant::now();
    for_seeds(0..seeds, |seed| run(&module, &policy, seed))?;
    let count = u32::try_from(seeds.max(1))?;
    println!("{seeds} seeds, each in {:?}", started.elapsed() / count);
    Ok(())
}

fn run(module: &FilterModule, policy: &[u8], seed: u64) -> anyhow::Result<()> {
    let mta = SimulatedMta::new(Mailboxes::new("example.test", ["alice", "bob"]));
    let mut sim = Simulator::builder_for(module)
        .plugin_config(policy)
        .workers(2)
        .seed(seed)
        .contention(20)
        .responder(mta)
        .server_delay(Duration::ZERO..=SERVER_DELAY)
        .build()?;
    let local: SocketAddr = "192.0.2.25:25".parse()?;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| sim.open(([203, 0, 113, 7], 40_000 + number).into(), local))
        .collect();
    for line in DIALOGUE {
        for client in &clients {
            sim.client_write(*client, line.as_bytes());
        }
        let pause = sim.draw(0..=2_000);
        sim.advance(Duration::from_micros(pause));
    }
    for client in &clients {
        sim.client_half_close(*client);
    }
    if !sim.advance_until_quiet(PATIENCE) {
        bail!("still busy after {PATIENCE:?}:\n{}", sim.trace());
    }
    if let Some(trap) = sim.traps().first() {
        bail!("a trap in {}:\n{}", trap.callback, sim.trace());
    }
    if std::env::var_os("HOST_SIM_SEED").is_some() {
        print!("{}", sim.trace());
    }
    Ok(())
}
