//! Many sessions under TLS at once, and certificates that change meanwhile.

use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{ClientTls, EnvoyConfig, Guard},
    host_sim::Mta,
    paths,
    smtp::Client,
    soak::{Begin, Message, Plan, client_address, session, sessions},
    tls::{Certificate, TlsClient},
};

const OPEN: &str = "server.total_connections";

#[test]
fn hundreds_of_sessions_and_a_new_certificate_among_them_fail_nobody() -> Result<()> {
    let mut mta = Mta::answering("550 5.1.1 No such user").start()?;
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

    // Two EHLOs, MAIL, RCPT, DATA and QUIT: of STARTTLS the server hears nothing.
    assert_eq!(mta.stats()?.commands, 200 * 6);

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
