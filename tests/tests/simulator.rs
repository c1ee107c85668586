//! The same guard without Envoy: `host-sim serve` before real Postfix.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use portcullis_tests::{
    host_sim::{Guarded, HostSim, SimClients},
    paths,
    postfix::{Postfix, Service},
    smtp::Client,
    stand::{rcpt, rcpts},
};

fn guarded(postfix: &Postfix) -> Result<HostSim> {
    let guarded = Guarded {
        wasm: paths::wasm()?,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        upstream: postfix.address(Service::Unknown451).to_string(),
        policy: None,
        workers: 2,
        from_clients: SimClients::Direct,
    };
    Ok(guarded.start()?)
}

#[test]
fn the_attack_is_cut() -> Result<()> {
    let postfix = Postfix::start()?;
    let guard = guarded(&postfix)?;
    let mut client = Client::greeted(guard.address())?;
    client.command("EHLO bot.example.org")?;
    let burst = rcpts("guess", 100);
    client.send(format!("MAIL FROM:<offer@example.org>\r\n{burst}"))?;
    assert_eq!(client.codes(6)?, [250, 451, 451, 451, 451, 421]);
    assert_eq!(client.read_to_end()?, "");
    drop(client);
    assert_eq!(postfix.log().wait_for_sessions(1)?[0].lookups, 5);
    Ok(())
}

#[test]
fn honest_mail_passes() -> Result<()> {
    let postfix = Postfix::start()?;
    let guard = guarded(&postfix)?;
    let mut client = Client::greeted(guard.address())?;
    client.command("EHLO client.example.org")?;
    client.command("MAIL FROM:<sender@example.org>")?;
    ensure!(client.command(&rcpt("alice"))?.code == 250);
    ensure!(client.command("DATA")?.code == 354);
    ensure!(client.command("Subject: hello\r\n\r\nHello.\r\n.")?.code == 250);
    assert_eq!(postfix.log().wait_for_messages(1)?, 1);
    Ok(())
}
