//! What no mail client sends: the filter never traps, memory stays bounded, and the next client is
//! served as if nothing had happened.

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    smtp::Client,
    stand::{Stand, rcpt, rcpts},
};

/// What Envoy may hold after all of this, in bytes; it starts at about 25 MiB with the filter.
const MEMORY: u64 = 128 << 20;

/// Sends all of it, ends its own side, and reads whatever comes. To be cut, even by a reset, is a
/// fair answer; to be left hanging is not.
fn shove(stand: &Stand, bytes: &[u8]) -> Result<String> {
    let mut client = stand.client()?;
    // The write fails when the guard or the server has closed; what it said is still to be read.
    let _ = client.send(bytes);
    let _ = client.finish_sending();
    client.read_until_closed().context("left hanging")
}

/// A whole message by a well-behaved client.
fn is_served(stand: &Stand) -> Result<()> {
    let mut client = stand.client_in_transaction()?;
    ensure!(client.command(&rcpt("alice"))?.code == 250);
    ensure!(client.command("DATA")?.code == 354);
    ensure!(client.command("Subject: hello\r\n\r\nHello.\r\n.")?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    Ok(())
}

fn survives(bytes: &[u8]) -> Result<String> {
    let stand = Stand::with_defaults()?;
    let heard = shove(&stand, bytes)?;
    // More often than there are workers, so that each has served one.
    for _ in 0..8 {
        is_served(&stand)?;
    }
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    assert_eq!(stand.envoy.admin().stat("wasm.portcullis.vm_reload")?, 0);
    let memory = stand.envoy.admin().stat("server.memory_allocated")?;
    ensure!(memory < MEMORY, "Envoy holds {memory} bytes");
    Ok(heard)
}

/// Bytes without any order, the same at every run (xorshift64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

#[test]
fn noise_before_and_after_ehlo() -> Result<()> {
    survives(&noise(256 << 10))?;
    survives(&[b"EHLO client.example.org\r\n", noise(256 << 10).as_slice()].concat())?;
    Ok(())
}

#[test]
fn a_line_of_one_mebibyte() -> Result<()> {
    survives(&[vec![b'A'; 1 << 20], b"\r\n".to_vec()].concat())?;
    let long = [
        b"RCPT TO:<".to_vec(),
        vec![b'a'; 1 << 20],
        b"@example.test>\r\n".to_vec(),
    ]
    .concat();
    survives(&[b"EHLO a\r\nMAIL FROM:<a@example.org>\r\n".to_vec(), long].concat())?;
    Ok(())
}

#[test]
fn ten_thousand_commands_in_one_segment() -> Result<()> {
    let heard = survives(&b"NOOP\r\n".repeat(10_000))?;
    assert_eq!(
        heard
            .lines()
            .filter(|line| line.starts_with("250 "))
            .count(),
        10_000
    );
    survives(&b"RSET\r\n".repeat(10_000))?;
    Ok(())
}

#[test]
fn ten_thousand_guesses_in_one_segment() -> Result<()> {
    let guesses = rcpts("guess", 10_000);
    let heard = survives(format!("EHLO a\r\nMAIL FROM:<a@example.org>\r\n{guesses}").as_bytes())?;
    ensure!(
        heard
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("421 4.7.0 ")),
        "{heard}"
    );
    assert_eq!(
        heard
            .lines()
            .filter(|line| line.starts_with("550 "))
            .count(),
        4
    );
    Ok(())
}

#[test]
fn bare_ends_of_line_and_nul() -> Result<()> {
    survives(
        b"EHLO a\nMAIL FROM:<a@example.org>\nRCPT TO:<alice@example.test>\nDATA\nx\n.\nQUIT\n",
    )?;
    survives(b"EHLO a\rMAIL FROM:<a@example.org>\rQUIT\r\0\0\0\r\n\0\r\n")?;
    Ok(())
}

#[test]
fn a_tls_client_hello_on_the_plain_port() -> Result<()> {
    // The head of a TLS 1.2 record with a ClientHello, then random and session id.
    let head = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    survives(&[head.as_slice(), noise(512).as_slice()].concat())?;
    Ok(())
}

#[test]
fn an_http_request() -> Result<()> {
    survives(b"POST / HTTP/1.1\r\nHost: mx.example.test\r\nContent-Length: 4\r\n\r\nRSET")?;
    Ok(())
}

#[test]
fn a_client_that_leaves_in_the_middle() -> Result<()> {
    let stand = Stand::with_defaults()?;
    for bytes in [
        "",
        "EHL",
        "EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<ali",
    ] {
        let mut client = Client::connect(stand.envoy.address())?;
        client.send(bytes)?;
    }
    let burst = rcpts("guess", 100);
    let mut client = stand.client()?;
    client.send(format!("EHLO a\r\nMAIL FROM:<a@example.org>\r\n{burst}"))?;
    drop(client);
    stand.envoy.wait_for_sessions(4)?;
    is_served(&stand)?;
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    Ok(())
}
