//! Honest dialogues pass byte for byte: what the client reads through the guard is what it reads
//! from Postfix itself.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use portcullis_tests::{
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpts},
};

/// A message with a dot to be stuffed; the dot that ends it is its last line.
const MESSAGE: &str = "From: Smith@bar.example.org\r\nSubject: lunch\r\n\r\n..dotted\r\nBlah.\r\n.";

/// RFC 5321 appendix D.1, a typical transaction; Green has no mailbox here.
const D1: &[&str] = &[
    "EHLO bar.example.org",
    "MAIL FROM:<Smith@bar.example.org>",
    "RCPT TO:<alice@example.test>",
    "RCPT TO:<Green@example.test>",
    "RCPT TO:<bob@example.test>",
    "DATA",
    MESSAGE,
    "QUIT",
];

/// Appendix D.2, an aborted transaction.
const D2: &[&str] = &[
    "EHLO bar.example.org",
    "MAIL FROM:<Smith@bar.example.org>",
    "RCPT TO:<alice@example.test>",
    "RCPT TO:<Green@example.test>",
    "RSET",
    "QUIT",
];

/// Appendix D.3, relayed mail: the second step, with the source route the relay was given.
const D3: &[&str] = &[
    "EHLO relay.example.org",
    "MAIL FROM:<JQP@bar.example.org>",
    "RCPT TO:<@example.test:alice@example.test>",
    "DATA",
    MESSAGE,
    "QUIT",
];

/// Appendix D.4, verifying and sending.
const D4: &[&str] = &[
    "EHLO bar.example.org",
    "VRFY alice",
    "VRFY Green",
    "EXPN Example-People",
    "HELP",
    "MAIL FROM:<Smith@bar.example.org>",
    "RCPT TO:<alice@example.test>",
    "DATA",
    MESSAGE,
    "QUIT",
];

/// Says each line, reads each reply, and returns all that the server said.
fn heard(server: SocketAddr, lines: &[&str]) -> Result<Vec<String>> {
    let mut client = Client::connect(server)?;
    let mut heard = client.reply()?.lines;
    for line in lines {
        heard.extend(client.command(line)?.lines);
    }
    heard.push(client.read_to_end()?);
    Ok(without_queue_ids(heard))
}

/// Sends everything at once and returns all that the server said.
fn heard_at_once(server: SocketAddr, bytes: &str) -> Result<Vec<String>> {
    let mut client = Client::connect(server)?;
    client.send(bytes)?;
    client.finish_sending()?;
    Ok(without_queue_ids(
        client
            .read_to_end()?
            .split("\r\n")
            .map(str::to_owned)
            .collect(),
    ))
}

/// Queue ids differ from message to message.
fn without_queue_ids(lines: Vec<String>) -> Vec<String> {
    let cut = |line: String| match line.split_once("queued as ") {
        Some((before, _)) => format!("{before}queued as"),
        None => line,
    };
    lines.into_iter().map(cut).collect()
}

fn passes_untouched(lines: &[&str], messages: usize) -> Result<()> {
    let stand = Stand::with_defaults()?;
    let direct = heard(stand.postfix.address(Service::Unknown550), lines)?;
    let guarded = heard(stand.envoy.address(), lines)?;
    assert_eq!(guarded, direct);
    assert_eq!(
        stand.postfix.log().wait_for_messages(2 * messages)?,
        2 * messages
    );
    Ok(())
}

#[test]
fn rfc5321_d1_a_typical_transaction() -> Result<()> {
    passes_untouched(D1, 1)
}

#[test]
fn rfc5321_d2_an_aborted_transaction() -> Result<()> {
    passes_untouched(D2, 0)
}

#[test]
fn rfc5321_d3_relayed_mail() -> Result<()> {
    passes_untouched(D3, 1)
}

#[test]
fn rfc5321_d4_verifying_and_sending() -> Result<()> {
    passes_untouched(D4, 1)
}

#[test]
fn chunks_of_rfc3030_pass() -> Result<()> {
    let lines = [
        "EHLO client.example.org",
        "MAIL FROM:<sender@example.org>",
        "RCPT TO:<alice@example.test>",
        // The chunk ends within what looks like commands; 26 octets are the chunk's.
        "BDAT 26\r\nSubject: x\r\n\r\nRSET\r\nQUIT",
        "BDAT 6 LAST\r\nend.",
        "MAIL FROM:<sender@example.org>",
        "RCPT TO:<bob@example.test>",
        "BDAT 0 LAST",
        "QUIT",
    ];
    passes_untouched(&lines, 2)
}

/// A session for the mailboxes `user0` and on, all of it in one text.
fn session_for(recipients: usize) -> String {
    let known = rcpts("user", recipients);
    format!(
        "EHLO client.example.org\r\nMAIL FROM:<sender@example.org>\r\n{known}\
         DATA\r\n{MESSAGE}\r\nQUIT\r\n"
    )
}

#[test]
fn a_whole_session_in_one_write_and_half_closed() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let session = session_for(5);
    let direct = heard_at_once(stand.postfix.address(Service::Unknown550), &session)?;
    let guarded = heard_at_once(stand.envoy.address(), &session)?;
    ensure!(
        direct.iter().any(|line| line.starts_with("221 ")),
        "{direct:#?}"
    );
    assert_eq!(guarded, direct);
    assert_eq!(stand.postfix.log().wait_for_messages(2)?, 2);
    Ok(())
}

/// Who has closed their side cannot be made to wait, so that recipients beyond the budget may be
/// put off; but nobody may be told 250 for a recipient that the server was not asked about.
#[test]
fn a_half_closed_client_is_told_the_truth_about_each_of_30_recipients() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let heard = heard_at_once(stand.envoy.address(), &session_for(30))?;
    let accepted = heard
        .iter()
        .filter(|line| line.starts_with("250 2.1.5 "))
        .count();
    let put_off = heard
        .iter()
        .filter(|line| line.starts_with("452 4.5.3 "))
        .count();
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    assert_eq!(
        (accepted + put_off, accepted),
        (30, sessions[0].accepted),
        "{heard:#?}"
    );
    Ok(())
}

#[test]
fn a_long_body_passes_whole() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let line = "RCPT TO:<guess@example.test>\r\nRSET\r\n";
    let body = line.repeat((4 << 20) / line.len());
    let mut client = stand.client_in_transaction()?;
    client.command("RCPT TO:<alice@example.test>")?;
    ensure!(client.command("DATA")?.code == 354);
    client.send(&body)?;
    ensure!(client.command(".")?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    let size = format!("size={}", body.len());
    stand.postfix.log().wait_for_messages(1)?;
    // Postfix adds its own header lines to the size.
    let text = stand.postfix.log().text()?;
    let logged = text
        .lines()
        .find_map(|line| line.split_once("size=")?.1.split(',').next()?.parse().ok());
    let logged: usize = logged.unwrap_or_default();
    ensure!(
        logged > body.len() && logged < body.len() + 1024,
        "{logged}, wanted {size}"
    );
    Ok(())
}
