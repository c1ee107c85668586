//! Many sessions under TLS at once, and certificates that change meanwhile.

use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{ClientTls, EnvoyConfig, Guard},
    host_sim::Mta,
    paths,
    process::raise_open_files,
    smtp::Client,
    soak::{Begin, Message, Plan, client_address, deliver, session, sessions, switch},
    stand::starttls,
    tls::{Certificate, TlsClient},
};

const OPEN: &str = "server.total_connections";

/// A thousand sessions are open, ask for TLS at once and deliver at once.
#[test]
fn a_thousand_sessions_in_parallel_fail_nobody() -> Result<()> {
    const SESSIONS: usize = 1000;
    raise_open_files()?;
    let mut mta = Mta::answering("550 5.1.1 No such user").start()?;
    let config = EnvoyConfig::before(mta.address(), Guard::with_defaults()?);
    let envoy = config.client_tls(starttls()?).start()?;
    let greeted = |number| -> Result<Client> {
        let mut client = Client::connect_from(client_address(number), envoy.address())?;
        ensure!(client.reply()?.code == 220);
        Ok(client)
    };
    let open: Vec<Client> = (0..SESSIONS).map(greeted).collect::<Result<_>>()?;
    wait_for("all sessions to be counted", PATIENCE, || {
        let counted = envoy.admin().stat("wasmcustom.portcullis_sessions_open")?;
        Ok(match counted == SESSIONS as u64 {
            true => Seen::Done(()),
            false => Seen::NotYet(counted.to_string()),
        })
    })?;
    let tls = TlsClient::new();
    let failed: Vec<_> = thread::scope(|scope| {
        let run = |client| {
            let tls = &tls;
            scope.spawn(move || deliver(switch(client, tls)?, Message::Usual))
        };
        let threads: Vec<_> = open.into_iter().map(run).collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(ended) => ended.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow!("a client panicked")),
        });
        ended.filter_map(Result::err).collect()
    });
    ensure!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed.first()
    );
    let stats = mta.stats()?;
    assert_eq!(stats.messages, SESSIONS as u64);
    // EHLO, MAIL, RCPT, DATA and QUIT: of STARTTLS and of the EHLO under TLS the server hears
    // nothing.
    assert_eq!(stats.commands, 5 * SESSIONS as u64);
    // Who waits for the 220 loses nothing of a handshake.
    for (counter, expected) in [("switched", SESSIONS as u64), ("dropped", 0)] {
        let counter = format!("dynamicmodulescustom.portcullis_starttls_{counter}_total");
        assert_eq!(envoy.admin().stat(&counter)?, expected, "{counter}");
    }
    let traps = envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    Ok(())
}

#[test]
fn hundreds_of_sessions_and_a_new_certificate_among_them_fail_nobody() -> Result<()> {
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let certificate = Certificate::temporary()?;
    let tls = ClientTls::StartTls {
        module: paths::starttls()?,
        certificate: certificate.clone(),
    };
    let config = EnvoyConfig::before(mta.address(), Guard::with_defaults()?);
    let envoy = config.client_tls(tls).start()?;
    let address = envoy.address();

    let many = NonZero::new(200).context("none")?;
    let plan = Plan {
        to: address,
        begin: Begin::StartTls,
        message: Message::Short,
    };
    let failed = sessions(plan, 200, many);
    ensure!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed.first()
    );

    // A session that has its certificate keeps it; those that come later see the new one.
    let old = certificate.read()?;
    let client = TlsClient::new();
    let begin = || -> Result<Client> {
        let mut fresh = Client::greeted(address)?;
        fresh.command("EHLO client.example.org")?;
        Ok(fresh.starttls(&client)?)
    };
    let mut before = begin()?;
    assert_eq!(before.wire().certificate().as_ref(), Some(&old));
    let over = AtomicBool::new(false);
    let failed = thread::scope(|scope| -> Result<_> {
        let load = |number| {
            let own = client_address(number);
            let mut failed = Vec::new();
            while !over.load(Ordering::Relaxed) {
                failed.extend(session(own, plan, &client).err());
            }
            failed
        };
        let threads: Vec<_> = (0..4)
            .map(|number| scope.spawn(move || load(number)))
            .collect();
        let turned = certificate.replace().and_then(|()| {
            let new = certificate.read()?;
            wait_for("the new certificate", PATIENCE, || {
                let seen = begin().ok().and_then(|fresh| fresh.wire().certificate());
                Ok(match seen.as_ref() == Some(&new) {
                    true => Seen::Done(()),
                    false => Seen::NotYet(String::new()),
                })
            })
        });
        over.store(true, Ordering::Relaxed);
        turned?;
        Ok(threads
            .into_iter()
            .flat_map(|thread| thread.join())
            .flatten()
            .collect::<Vec<_>>())
    })?;
    ensure!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed.first()
    );
    ensure!(before.command("EHLO client.example.org")?.code == 250);
    ensure!(before.command("QUIT")?.code == 221);
    drop(before);
    wait_for("the last connection's end", PATIENCE, || {
        let open = envoy.admin().stat(OPEN)?;
        Ok(if open == 0 {
            Seen::Done(())
        } else {
            Seen::NotYet(open.to_string())
        })
    })?;
    let traps = envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    Ok(())
}
