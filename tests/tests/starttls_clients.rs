//! Real clients under TLS, each with its own habits, and what a scanner finds.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    envoy::ClientTls,
    exim::Exim,
    paths,
    postfix::Service,
    process::output_of,
    smtp::Client,
    stand::Stand,
    tls::{Certificate, TlsClient},
};
use serde_json::{Value, json};

/// A stand whose certificate clients can check.
struct Guarded {
    stand: Stand,
    certificate: Certificate,
}

impl Guarded {
    fn with_policy(policy: Value, client_ca: Option<&Certificate>) -> Result<Self> {
        let certificate = Certificate::temporary()?;
        let tls = ClientTls::StartTls {
            module: paths::starttls()?,
            certificate: certificate.clone(),
        };
        let stand = Stand::with(Service::OffersTls, policy, |config| match client_ca {
            Some(ca) => config.client_tls(tls).client_ca(ca.chain()),
            None => config.client_tls(tls),
        })?;
        Ok(Self { stand, certificate })
    }

    fn host(&self) -> String {
        self.stand.envoy.address().ip().to_string()
    }

    fn port(&self) -> String {
        self.stand.envoy.address().port().to_string()
    }

    fn switched(&self) -> Result<u64> {
        let name = "dynamicmodulescustom.portcullis_starttls_switched_total";
        Ok(self.stand.envoy.admin().stat(name)?)
    }

    /// Runs one of our scripts by this interpreter.
    fn script(&self, interpreter: &mut Command, name: &str) -> Result<()> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        interpreter
            .arg(clients.join(name))
            .args([self.host(), self.port()])
            .arg(self.certificate.chain());
        let said = output_of(interpreter)?;
        assert_eq!(said.lines().last(), Some("delivered 2"), "{said}");
        Ok(())
    }
}

#[test]
fn mail_clients_deliver_under_tls() -> Result<()> {
    let guarded = Guarded::with_policy(json!({}), None)?;
    guarded.script(&mut Command::new(paths::python()?), "smtplib_starttls.py")?;
    let mut node = Command::new(paths::on_path("node")?);
    // Where Debian has its packages for Node.
    node.env("NODE_PATH", "/usr/share/nodejs");
    guarded.script(&mut node, "nodemailer_starttls.js")?;
    for style in [["--tls"].as_slice(), &["--tls", "--pipeline"]] {
        let said = output_of(
            Command::new(paths::on_path("swaks")?)
                .args(["--server", &guarded.host(), "--port", &guarded.port()])
                .args(["--from", "sender@example.org", "--helo", "c.example.org"])
                .args(["--to", "alice@example.test"])
                .args(style),
        )?;
        ensure!(said.contains("TLS started with cipher TLSv1.3"), "{said}");
        ensure!(said.contains("~> MAIL FROM"), "{said}");
    }
    let exim = Exim::sending_to(guarded.stand.envoy.address(), &guarded.certificate)?;
    let log = exim.send(&["alice@example.test", "bob@example.test"])?;
    ensure!(
        log.contains("=> alice@example.test") && log.contains("X=TLS1.3"),
        "{log}"
    );
    assert_eq!(guarded.stand.postfix.log().wait_for_messages(7)?, 7);
    assert_eq!(guarded.switched()?, 5);
    let traps = guarded.stand.envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    Ok(())
}

/// What `openssl s_client` says with these options, if the handshake succeeds.
fn s_client(guarded: &Guarded, options: &[&str]) -> Result<Option<String>> {
    let mut command = Command::new(paths::on_path("openssl")?);
    let address = format!("{}:{}", guarded.host(), guarded.port());
    command
        .args([
            "s_client",
            "-starttls",
            "smtp",
            "-crlf",
            "-quiet",
            "-connect",
        ])
        .arg(address)
        .args(["-verify_return_error", "-CAfile"])
        .arg(guarded.certificate.chain())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    // One that has failed reads nothing.
    let asked = child
        .stdin
        .take()
        .context("no input")?
        .write_all(b"EHLO client.example.org\nQUIT\n");
    let output = child.wait_with_output()?;
    drop(asked);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then_some(said))
}

#[test]
fn only_modern_tls_is_spoken() -> Result<()> {
    let guarded = Guarded::with_policy(json!({}), None)?;
    for good in [
        ["-tls1_3"].as_slice(),
        &["-tls1_2"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ] {
        let said = s_client(&guarded, good)?;
        let ended = |said: &String| said.contains("221 2.0.0");
        ensure!(said.as_ref().is_some_and(ended), "{good:?}: {said:?}");
    }
    // Below security level 0 openssl would not even offer the old ones.
    for bad in [
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"].as_slice(),
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"],
    ] {
        assert_eq!(s_client(&guarded, bad)?, None, "{bad:?}");
    }
    let scan = output_of(
        Command::new(paths::on_path("sslscan")?)
            .args(["--no-colour", "--starttls-smtp"])
            .arg(format!("{}:{}", guarded.host(), guarded.port())),
    )?;
    for expected in [
        "SSLv3     disabled",
        "TLSv1.0   disabled",
        "TLSv1.1   disabled",
        "TLSv1.2   enabled",
        "TLSv1.3   enabled",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        ensure!(scan.contains(expected), "no {expected:?} in:\n{scan}");
    }
    let weak = |line: &&str| {
        let listed = line.starts_with("Accepted") || line.starts_with("Preferred");
        listed && !(line.contains("GCM") || line.contains("CHACHA20"))
    };
    assert_eq!(scan.lines().find(weak), None, "{scan}");
    Ok(())
}

#[test]
fn a_client_with_a_good_certificate_can_be_exempt() -> Result<()> {
    let (own, other) = (Certificate::temporary()?, Certificate::temporary()?);
    let policy = json!({ "exempt": { "verified_clients": true } });
    let guarded = Guarded::with_policy(policy, Some(&own))?;
    let guess = |tls: &TlsClient| -> Result<Vec<u16>> {
        let mut client = guarded.stand.client()?;
        client.command("EHLO client.example.org")?;
        let mut client = client.starttls(tls)?;
        client.command("EHLO client.example.org")?;
        client.command("MAIL FROM:<sender@example.org>")?;
        client.send(portcullis_tests::stand::rcpts("nobody", 5))?;
        Ok(client.codes(5)?)
    };
    assert_eq!(guess(&TlsClient::showing(&own)?)?, [550; 5]);
    assert_eq!(guess(&TlsClient::new())?, [550, 550, 550, 550, 421]);
    let refused = guess(&TlsClient::showing(&other)?);
    ensure!(refused.is_err(), "a strange certificate: {refused:?}");
    let exempt = "wasmcustom.portcullis_exempt_total;reason=verified";
    assert_eq!(guarded.stand.envoy.admin().stat(exempt)?, 1);
    Ok(())
}

#[test]
fn the_server_can_be_spoken_to_under_tls() -> Result<()> {
    let postfix = portcullis_tests::postfix::Postfix::start()?;
    let server = postfix.address(Service::UnderTls);
    let guard = portcullis_tests::envoy::Guard::with_defaults()?;
    let envoy = |trusted: &Certificate| {
        let to_server = portcullis_tests::envoy::ToServer::Tls(trusted.chain());
        let config = portcullis_tests::envoy::EnvoyConfig::before(server, guard.clone());
        config.to_server(to_server).start()
    };
    let trusting = envoy(postfix.certificate())?;
    let mut client = Client::greeted(trusting.address())?;
    client.command("EHLO client.example.org")?;
    client.command("MAIL FROM:<sender@example.org>")?;
    client.send(portcullis_tests::stand::rcpts("guess", 20))?;
    assert_eq!(client.codes(5)?, [550, 550, 550, 550, 421]);
    let strange = envoy(&Certificate::temporary()?)?;
    assert_eq!(Client::connect(strange.address())?.read_until_closed()?, "");
    Ok(())
}
