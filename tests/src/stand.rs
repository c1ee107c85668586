//! What most end-to-end tests stand on: real Envoy with the filter before real Postfix.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{ClientTls, Envoy, EnvoyConfig, Guard},
    paths,
    postfix::{Postfix, Service},
    smtp::Client,
    tls::{Certificate, TlsClient},
};

/// Postfix with the guard before one of its services.
#[derive(Debug)]
pub struct Stand {
    /// The guard; dropped first, so that Postfix sees its sessions end.
    pub envoy: Envoy,
    /// The mail server.
    pub postfix: Postfix,
}

impl Stand {
    /// The guard with its default policy before a server that answers 550 for unknown names.
    ///
    /// # Errors
    /// Whatever keeps Envoy or Postfix from starting.
    pub fn with_defaults() -> Result<Self, Error> {
        Self::with_policy(Service::Unknown550, json!({}))
    }

    /// The guard with this policy before this service.
    ///
    /// # Errors
    /// As [`Stand::with_defaults`].
    pub fn with_policy(service: Service, policy: Value) -> Result<Self, Error> {
        Self::with(service, policy, |config| config)
    }

    /// The same with more of Envoy chosen.
    ///
    /// # Errors
    /// As [`Stand::with_defaults`].
    pub fn with(
        service: Service,
        policy: Value,
        choose: impl FnOnce(EnvoyConfig) -> EnvoyConfig,
    ) -> Result<Self, Error> {
        let postfix = Postfix::start()?;
        let config = EnvoyConfig::before(postfix.address(service), Guard::with_policy(policy)?);
        Ok(Self {
            envoy: choose(config).start()?,
            postfix,
        })
    }

    /// The same with STARTTLS ended at the guard.
    ///
    /// # Errors
    /// As [`Stand::with_defaults`].
    pub fn with_starttls(service: Service, policy: Value) -> Result<Self, Error> {
        let tls = starttls()?;
        Self::with(service, policy, |config| config.client_tls(tls))
    }

    /// A client that has said EHLO under TLS, which it asked for.
    ///
    /// # Errors
    /// [`Error::Smtp`] if there is none.
    pub fn client_under_tls(&self) -> Result<Client, Error> {
        under_tls(Client::greeted(self.envoy.address())?)
    }

    /// A client of the guard that has read the greeting.
    ///
    /// # Errors
    /// [`Error::Smtp`] if there is none.
    pub fn client(&self) -> Result<Client, Error> {
        Client::greeted(self.envoy.address())
    }

    /// A client that has said EHLO and MAIL as well.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the server does not answer.
    pub fn client_in_transaction(&self) -> Result<Client, Error> {
        let mut client = self.client()?;
        client.command("EHLO client.example.org")?;
        client.command("MAIL FROM:<sender@example.org>")?;
        Ok(client)
    }
}

/// One small message for a name that exists, and the codes that take it.
pub const MAIL: [(&str, u16); 6] = [
    ("EHLO sender.example.org", 250),
    ("MAIL FROM:<sender@example.org>", 250),
    ("RCPT TO:<alice@example.test>", 250),
    ("DATA", 354),
    ("Subject: x\r\n\r\nx\r\n.", 250),
    ("QUIT", 221),
];

/// Waits until this client is greeted by 421.
///
/// # Errors
/// [`Error::Late`] with the last code seen.
pub fn wait_until_refused(client: IpAddr, at: SocketAddr) -> Result<(), Error> {
    wait_for("a listed client to be refused", PATIENCE, || {
        let code = Client::connect_from(client, at)?.reply()?.code;
        Ok(match code {
            421 => Seen::Done(()),
            other => Seen::NotYet(other.to_string()),
        })
    })
}

/// STARTTLS ended at the guard, with a certificate of its own.
///
/// # Errors
/// [`Error::Missing`] if the module is not built, or as [`Certificate::make`].
pub fn starttls() -> Result<ClientTls, Error> {
    Ok(ClientTls::StartTls {
        module: paths::starttls()?,
        certificate: Certificate::temporary()?,
    })
}

/// Takes a client that has read the greeting to its EHLO under TLS.
///
/// # Errors
/// [`Error::Smtp`] if it does not get there.
pub fn under_tls(mut client: Client) -> Result<Client, Error> {
    client.command("EHLO client.example.org")?;
    let mut client = client.starttls(&TlsClient::new())?;
    client.command("EHLO client.example.org")?;
    Ok(client)
}

/// Delivers one message for alice, named `count` times, all pipelined, after EHLO; and QUITs. The
/// codes of all replies, in order.
///
/// # Errors
/// [`Error::Smtp`] if one does not come.
pub fn deliver_pipelined(client: &mut Client, count: usize) -> Result<Vec<u16>, Error> {
    let burst = format!("{}\r\n", rcpt("alice")).repeat(count);
    client.send(format!("MAIL FROM:<a@client.test>\r\n{burst}DATA\r\n"))?;
    let mut codes = client.codes(count + 2)?;
    client.send("hello\r\n.\r\nQUIT\r\n")?;
    codes.extend(client.codes(2)?);
    Ok(codes)
}

/// `RCPT TO` for a name that exists in `example.test`, or does not.
#[must_use]
pub fn rcpt(name: &str) -> String {
    format!("RCPT TO:<{name}@example.test>")
}

/// The same for `count` numbered names, each line ended, as one text.
#[must_use]
pub fn rcpts(name: &str, count: usize) -> String {
    (0..count)
        .map(|number| rcpt(&format!("{name}{number}")) + "\r\n")
        .collect()
}
