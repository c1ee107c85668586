//! Envoy as the manifests configure it, taken out of them and started on loopback addresses: it is
//! accepted, and it guards real SMTP.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests say what they expect by failing"
)]

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::free_port,
    fleet::Store,
    kubernetes::{Container, Manifests, Replica, Services},
    paths,
    postfix::{Postfix, Service},
    process::Process,
    smtp::Client,
    stand::{MAIL, rcpt, wait_until_refused},
    tls::{Certificate, TlsClient},
};

fn overlay(name: &str) -> Result<Manifests> {
    let directory = paths::kubernetes().join("overlays").join(name);
    Ok(Manifests::build(&directory)?)
}

/// Redis and Webdis, as the Secret of the manifests configures them.
fn store(manifests: &Manifests) -> Result<Store> {
    let redis = Container::of(manifests, "StatefulSet", "portcullis-store", "redis")?;
    let configuration = |name| redis.read(&format!("/etc/portcullis/{name}"));
    let webdis = serde_json::from_str(&configuration("webdis.json")?)?;
    let data = redis.path("/data").display().to_string();
    let redis_conf = configuration("redis.conf")?.replace("/data", &data);
    Ok(Store::configured(redis_conf, webdis)?)
}

/// Services of which only the mail server is there.
fn only(mail_server: SocketAddr) -> Result<Services> {
    let nobody = free_port()?;
    Ok(Services {
        mail_server,
        resolver: nobody,
        store: nobody,
    })
}

fn get(at: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Guesses names; how many until 421.
fn guess(client: &mut Client) -> Result<usize> {
    client.dialogue(&MAIL[..2])?;
    for name in 1..=20 {
        if client.command(&rcpt(&format!("guess{name}")))?.code == 421 {
            return Ok(name);
        }
    }
    Ok(20)
}

/// The demo's own mail server, and where it listens.
fn demo_mail_server(manifests: &Manifests) -> Result<(Process, SocketAddr)> {
    let container = Container::of(manifests, "Deployment", "demo-mail-server", "mail-server")?;
    let start = || -> Result<(Process, SocketAddr), Error> {
        let at = free_port()?;
        let mut command = Command::new(paths::on_path("python3")?);
        for word in container.words("").iter().skip(1) {
            match word.as_str() {
                "2525" => command.arg(at.port().to_string()),
                other => command.arg(other),
            };
        }
        let mut process = Process::start("mail_server.py", command, &container.path("log"))?;
        wait_for("the demo's mail server", PATIENCE, || {
            process.still_runs()?;
            Ok(match Client::greeted(at) {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })?;
        Ok((process, at))
    };
    // It takes the port on every address, and on one of them another process may have it.
    let started = start().or_else(|_| start()).or_else(|_| start());
    Ok(started?)
}

/// Waits until a pod has heard from the store; only with sessions it asks.
fn hears_from_the_store(pod: &Replica) -> Result<()> {
    wait_for("the store to be read", PATIENCE, || {
        Client::greeted(pod.port("smtp")?)?.command("QUIT")?;
        let read = "wasmcustom.portcullis_fleet_reads_total";
        Ok(match pod.admin().stat(read)? {
            0 => Seen::NotYet("nothing read".to_owned()),
            _ => Seen::Done(()),
        })
    })?;
    Ok(())
}

#[test]
fn envoy_accepts_what_each_overlay_configures() -> Result<()> {
    let services = only(free_port()?)?;
    let mut seen: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(paths::kubernetes().join("overlays"))? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        let manifests = overlay(&name)?;
        let configuration = manifests.generated("ConfigMap", "portcullis-envoy")?;
        let text = configuration["data"]["envoy.yaml"].as_str().unwrap();
        if seen.iter().any(|before| before == text) {
            continue;
        }
        seen.push(text.to_owned());
        let container = Replica::container(&manifests, Replica::own_address(), &services)?;
        let output = Command::new(paths::envoy()?)
            .args(["--mode", "validate", "--config-path"])
            .arg(container.path("/etc/portcullis/envoy.yaml"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{name}: {said}");
    }
    ensure!(seen.len() >= 4, "only {} configurations differ", seen.len());
    Ok(())
}

#[test]
fn the_demo_takes_mail_cuts_guesses_and_tells_the_other_replica() -> Result<()> {
    let manifests = overlay("demo")?;
    let store = store(&manifests)?;
    let (_server, mail_server) = demo_mail_server(&manifests)?;
    let services = Services {
        store: store.address(),
        ..only(mail_server)?
    };
    let start = || Replica::start(&manifests, Replica::own_address(), &services);
    let (here, there) = (start()?, start()?);
    for pod in [&here, &there] {
        hears_from_the_store(pod)?;
    }
    let (smtp, status) = (here.port("smtp")?, here.port("status")?);
    Client::greeted(smtp)?.dialogue(&MAIL)?;

    let bot: IpAddr = "127.61.0.1".parse()?;
    let mut session = Client::connect_from(bot, smtp)?;
    session.reply()?;
    assert_eq!(guess(&mut session)?, 5);
    wait_until_refused(bot, there.port("smtp")?)?;

    for (path, begin) in [
        ("/ready", "HTTP/1.1 200"),
        ("/live", "HTTP/1.1 200"),
        // What could do harm is on loopback only.
        ("/quitquitquit", "HTTP/1.1 404"),
        ("/config_dump", "HTTP/1.1 404"),
    ] {
        let answer = get(status, path)?;
        ensure!(answer.starts_with(begin), "{path}: {answer}");
    }
    // What alerts and dashboard use of Envoy's own.
    let page = get(status, "/stats/prometheus")?;
    for metric in [
        "portcullis_sessions_total",
        "envoy_listener_downstream_cx_active{envoy_listener_address=",
        "envoy_listener_downstream_global_cx_overflow",
        "envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name=\"mta\"}",
        "envoy_server_memory_physical_size",
    ] {
        ensure!(page.contains(metric), "no {metric}");
    }
    Ok(())
}

#[test]
fn behind_a_balancer_the_clients_address_is_the_one_it_tells() -> Result<()> {
    let manifests = overlay("proxy-protocol")?;
    let postfix = Postfix::start()?;
    let services = only(postfix.address(Service::Unknown550))?;
    let replica = Replica::start(&manifests, Replica::own_address(), &services)?;
    let port = manifests.object("Service", "portcullis")?["spec"]["ports"][0]["targetPort"].clone();
    let at = replica.port(port.as_str().context("no named port")?)?;
    // Only the networks of the overlay may tell anything, and loopback is none of them.
    let mut stranger = Client::connect(at)?;
    stranger.send("PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\r\n")?;
    assert_eq!(stranger.read_until_closed()?, "");

    // With the base's own setting, loopback may.
    let manifests = Manifests::build(&paths::kubernetes().join("base"))?;
    let replica = Replica::start(&manifests, Replica::own_address(), &services)?;
    let mut told = Client::connect(replica.port("smtp-proxy")?)?;
    told.send("PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\r\n")?;
    told.reply()?;
    assert_eq!(guess(&mut told)?, 5);
    wait_for("the session in the access log", PATIENCE, || {
        let log = std::fs::read_to_string(replica.access_log()).unwrap_or_default();
        Ok(if log.contains("\"client\":\"203.0.113.7:40000\"") {
            Seen::Done(())
        } else {
            Seen::NotYet(log)
        })
    })?;
    Ok(())
}

#[test]
fn tls_with_clients_ends_in_a_pod_and_its_certificate_is_renewed() -> Result<()> {
    let manifests = overlay("starttls")?;
    let postfix = Postfix::start()?;
    let services = only(postfix.address(Service::OffersTls))?;
    let replica = Replica::start(&manifests, Replica::own_address(), &services)?;
    let port = |number: u16| -> Result<SocketAddr> {
        let ports = &manifests.object("Service", "portcullis")?["spec"]["ports"];
        let mut ports = ports.as_array().into_iter().flatten();
        let port = ports.find(|one| one["port"] == number).context("no port")?;
        let target = port["targetPort"].as_str().context("no named port")?;
        Ok(replica.port(target)?)
    };
    let (smtp, smtps) = (port(25)?, port(465)?);
    let tls = TlsClient::new();
    let starttls = || -> Result<Client> {
        let mut client = Client::greeted(smtp)?;
        client.command("EHLO client.example.org")?;
        Ok(client.starttls(&tls)?)
    };
    let implicit = || -> Result<Client> {
        let mut client = Client::connect(smtps)?.handshake(&tls)?;
        client.reply()?;
        Ok(client)
    };
    starttls()?.dialogue(&MAIL)?;
    implicit()?.dialogue(&MAIL)?;
    assert_eq!(postfix.log().wait_for_messages(2)?, 2);

    // A Secret that is renewed.
    let certificate = Certificate::in_directory(replica.path("/etc/portcullis-tls"));
    let old = certificate.read()?;
    assert_eq!(starttls()?.wire().certificate().as_ref(), Some(&old));
    certificate.replace()?;
    let new = certificate.read()?;
    wait_for("the renewed certificate", PATIENCE, || {
        let seen = implicit().ok().and_then(|fresh| fresh.wire().certificate());
        Ok(match seen.as_ref() == Some(&new) {
            true => Seen::Done(()),
            false => Seen::NotYet(String::new()),
        })
    })?;
    assert_eq!(guess(&mut starttls()?)?, 5);
    Ok(())
}

#[test]
fn a_pod_that_ends_lets_its_sessions_finish() -> Result<()> {
    let manifests = Manifests::build(&paths::kubernetes().join("base"))?;
    let postfix = Postfix::start()?;
    let services = only(postfix.address(Service::Unknown550))?;
    let mut replica = Replica::start(&manifests, Replica::own_address(), &services)?;
    let (smtp, status) = (replica.port("smtp")?, replica.port("status")?);
    let mut open = Client::greeted(smtp)?;
    open.dialogue(&MAIL[..4])?;

    let mut hook = replica.drain()?;
    wait_for("the pod to say that it is not ready", PATIENCE, || {
        let answer = get(status, "/ready").unwrap_or_default();
        Ok(if answer.starts_with("HTTP/1.1 503") {
            Seen::Done(())
        } else {
            Seen::NotYet(answer)
        })
    })?;
    // Alive all the same, or the kubelet would kill it.
    ensure!(get(status, "/live")?.starts_with("HTTP/1.1 200"));
    // Who still comes, since not everybody knows yet, is served.
    Client::greeted(smtp)?.dialogue(&MAIL)?;
    // Longer than the hook waits at least.
    std::thread::sleep(Duration::from_millis(1500));
    hook.still_runs()?;
    open.dialogue(&MAIL[4..])?;
    drop(open);
    ensure!(hook.wait(PATIENCE)?.success());
    replica.process().signal(Signal::SIGTERM)?;
    replica.process().wait(PATIENCE)?;
    assert_eq!(postfix.log().wait_for_messages(2)?, 2);
    Ok(())
}
