//! What the filter needs of Envoy beyond the ABI's text, pinned on real Envoy: held bytes are sent
//! on later, and what the guard does not take stays in Envoy's buffer until the client waits.

use anyhow::{Context, Result, ensure};
use portcullis_tests::envoy::{EnvoyConfig, Guard};
use portcullis_tests::host_sim::Mta;
use portcullis_tests::smtp::Client;
use portcullis_tests::stand::deliver_pipelined;
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Far beyond what kernels and Envoy buffer on loopback.
const MUCH: usize = 256 << 20;

/// A guard that holds next to nothing, so that the rest is up to Envoy.
fn small() -> Value {
    json!({ "limits": { "held": 1024, "command_line": 512 } })
}

#[test]
fn a_burst_beyond_the_guards_memory_passes_whole_and_in_order() -> Result<()> {
    const RECIPIENTS: usize = 10_000;
    let mut mta = Mta::answering("550 5.1.1 No such user").start()?;
    let envoy = EnvoyConfig::before(mta.address(), Guard::with_policy(small())?).start()?;
    let mut client = Client::greeted(envoy.address())?;
    client.command("EHLO client.test")?;
    let codes = deliver_pipelined(&mut client, RECIPIENTS)?;
    let expected = [vec![250; RECIPIENTS + 1], vec![354, 250, 221]].concat();
    ensure!(codes == expected, "not all were taken in order");
    let stats = mta.stats()?;
    ensure!(
        stats.rcpt == RECIPIENTS as u64 && stats.messages == 1,
        "{stats:?}"
    );
    Ok(())
}

#[test]
fn a_client_that_does_not_wait_is_made_to() -> Result<()> {
    let server = SilentServer::start()?;
    let envoy = EnvoyConfig::before(server.address, Guard::with_policy(small())?).start()?;
    let mut client = TcpStream::connect(envoy.address())?;
    client.set_write_timeout(Some(Duration::from_secs(2)))?;
    client.write_all(b"EHLO bot.test\r\n")?;
    let line = b"RCPT TO:<guess@example.test>\r\n".repeat(1000);
    let mut sent = 0;
    while sent < MUCH {
        match client.write(&line) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("the guard closed the connection"),
        }
    }
    ensure!(
        sent < MUCH,
        "{sent} bytes were taken from a client that reads nothing"
    );
    let heap = envoy.admin().stat("server.memory_allocated")?;
    ensure!(heap < 256 << 20, "Envoy holds {heap} bytes");
    Ok(())
}

/// Greets, and never says anything again.
struct SilentServer {
    address: SocketAddr,
}

impl SilentServer {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.write_all(b"220 mx.example.test ESMTP\r\n")?;
            // Ends with the connection, which ends with Envoy.
            std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
        });
        Ok(Self { address })
    }
}
