//! Runs a filter that has nothing to do with mail, `shout.wat`, and looks at all
//! that it did.
//!
//! ```sh
//! cargo run -p portcullis-host-sim --example shout
//! ```

use std::time::Duration;

use anyhow::ensure;
use portcullis_host_sim::{FilterModule, Simulator};

pub(crate) fn main() -> anyhow::Result<()> {
    // From a file it would be `FilterModule::from_file`.
    let module = FilterModule::from_bytes(&wat::parse_str(include_str!("shout.wat"))?)?;
    let mut sim = Simulator::builder_for(&module)
        .vm_config("what proxy_on_vm_start could read")
        .plugin_config("what proxy_on_configure could read")
        .build()?;

    // A connection between these addresses; both sides write, in these segments.
    let conn = sim.open("[2001:db8::7]:40001".parse()?, "[2001:db8::25]:7".parse()?);
    sim.client_write(conn, b"Hello ");
    sim.advance(Duration::from_millis(2500));
    sim.client_write(conn, b"world\n");
    sim.server_write(conn, b"Hello yourself\n");
    sim.client_half_close(conn);
    sim.server_half_close(conn);

    // What each side read, piece by piece, and when.
    let read = sim.server_inbox(conn);
    for piece in &read.pieces {
        let text = String::from_utf8_lossy(&piece.bytes);
        println!("{:?}: the server read {text:?}", piece.at);
    }
    println!("{:?}: the end of the stream", read.ended);
    ensure!(read.bytes() == b"HELLO WORLD\n");
    ensure!(sim.client_inbox(conn).bytes() == b"Hello yourself\n");

    // What the filter left behind.
    println!("metrics: {:?}", sim.metrics());
    ensure!(sim.metrics().get("octets") == Some(&12));
    for line in sim.logs() {
        println!(
            "{:?}: {}: {}",
            sim.since_start(line.at),
            line.level,
            line.text
        );
    }
    ensure!(sim.logs().len() == 2, "it ticks at 1 s and 2 s");
    ensure!(sim.shared_data(b"last") == Some(b"WORLD\n".to_vec()));
    let queued = sim.shared_queue(b"said").unwrap_or_default();
    println!("{} segments wait in the queue", queued.len());
    ensure!(queued == [b"HELLO ".to_vec(), b"WORLD\n".to_vec()]);
    ensure!(sim.traps().is_empty() && sim.callouts().is_empty());
    Ok(())
}
