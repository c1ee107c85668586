//! The guard that asks blocklists, and clients of whatever address at its gate.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use super::{Question, Reply};
use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{Envoy, EnvoyConfig, FromClients, Guard, ServiceAt},
    proxy_header,
    smtp::Client,
};

/// Machines of an Envoy with two workers that test a list each: the main thread has one too.
pub const TESTERS: u64 = 3;

/// Where the front proxy's connections come from: each from an address of its own.
fn front_proxies() -> IpNet {
    let all = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    all.into()
}

/// The port every client comes from, and where it believes to have connected.
const CLIENT_PORT: u16 = 40001;
const SERVICE: (&str, &str, u16) = ("192.0.2.25", "2001:db8::25", 25);

/// A guard whose clients come through a front proxy on this machine, so that they may have any
/// address.
#[derive(Debug)]
pub struct Gate {
    /// The Envoy it runs in.
    pub envoy: Envoy,
}

/// What a client is told that says nothing itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The greeting; it left by QUIT.
    Greeting,
    /// This line, its end included, and then the end of the stream.
    Refusal(String),
}

/// A policy that asks these sites about everyone, with `more` fields of `dnsbl`.
#[must_use]
pub fn asking(sites: &[&str], more: &Value) -> Value {
    let mut dnsbl = json!({ "sites": sites, "reserved": "ask" });
    if let (Some(dnsbl), Some(more)) = (dnsbl.as_object_mut(), more.as_object()) {
        dnsbl.extend(more.clone());
    }
    json!({ "dnsbl": dnsbl })
}

impl Gate {
    /// The guard with this policy before this server.
    ///
    /// # Errors
    /// Whatever keeps Envoy from starting.
    pub fn before(
        server: SocketAddr,
        policy: Value,
        resolver: impl Into<ServiceAt>,
    ) -> Result<Self, Error> {
        let config = EnvoyConfig::before(server, Guard::with_policy(policy)?)
            .from_clients(FromClients::BehindProxy(vec![front_proxies()]))
            .dnsbl(resolver);
        let envoy = config.start()?;
        Ok(Self { envoy })
    }

    /// The same, once every machine asks these lists.
    ///
    /// # Errors
    /// As [`Gate::before`], and [`Error::Late`] if a list does not pass its tests.
    pub fn asking_before(
        server: SocketAddr,
        policy: Value,
        resolver: impl Into<ServiceAt>,
        lists: &[&str],
    ) -> Result<Self, Error> {
        let gate = Self::before(server, policy, resolver)?;
        gate.wait_until_asking(lists)?;
        Ok(gate)
    }

    /// Waits until every machine asks these lists.
    ///
    /// # Errors
    /// [`Error::Late`] if a list does not pass its tests.
    pub fn wait_until_asking(&self, lists: &[&str]) -> Result<(), Error> {
        for list in lists {
            self.wait_for_count(&of_list("site_on", list), TESTERS)?;
        }
        Ok(())
    }

    /// A client of this address has connected; it has neither said nor read anything.
    ///
    /// # Errors
    /// [`Error::Smtp`] if the connection is refused.
    pub fn knock(&self, client: IpAddr) -> Result<Client, Error> {
        let (v4, v6, port) = SERVICE;
        let service = if client.is_ipv4() { v4 } else { v6 };
        let service = service.parse::<IpAddr>().map_err(|error| Error::Dns {
            doing: format!("naming {service}"),
            reason: error.to_string(),
        })?;
        let header = proxy_header::version_1(
            SocketAddr::new(client, CLIENT_PORT),
            SocketAddr::new(service, port),
        );
        let mut connection = Client::connect(self.envoy.address())?;
        connection.send(header)?;
        Ok(connection)
    }

    /// What a client of this address is told that says nothing before it is greeted.
    ///
    /// # Errors
    /// [`Error::Smtp`] if it reads less than a line, or anything after the refusal but a clean
    /// end.
    pub fn visit(&self, client: IpAddr) -> Result<Told, Error> {
        take_leave(self.knock(client)?)
    }

    /// The value of one of the filter's counters, such as `refused;rule=dnsbl`.
    ///
    /// # Errors
    /// [`Error::Admin`] if Envoy does not say.
    pub fn count(&self, name: &str) -> Result<u64, Error> {
        self.envoy.admin().count(name)
    }

    /// Waits until one of the filter's counters is at least this high.
    ///
    /// # Errors
    /// [`Error::Late`] with Envoy's log, or as [`Gate::count`].
    pub fn wait_for_count(&self, name: &str, least: u64) -> Result<u64, Error> {
        wait_for(&format!("{name} to reach {least}"), PATIENCE, || {
            let count = self.count(name)?;
            Ok(if count < least {
                Seen::NotYet(format!("{count}"))
            } else {
                Seen::Done(count)
            })
        })
    }
}

/// Reads what the client is told, as [`Gate::visit`].
///
/// # Errors
/// As [`Gate::visit`].
pub fn take_leave(mut client: Client) -> Result<Told, Error> {
    let reply = client.reply()?;
    if reply.code == 220 {
        client.command("QUIT")?;
        client.read_to_end()?;
        return Ok(Told::Greeting);
    }
    let after = client.read_to_end()?;
    Ok(Told::Refusal(format!(
        "{}\r\n{after}",
        reply.lines.join("\r\n")
    )))
}

/// The name of a counter of one list, such as `questions` or `site_on`.
#[must_use]
pub fn of_list(what: &str, list: &str) -> String {
    format!("dnsbl_{what};site={list}")
}

/// Calls `visit` for each number below `count`, in order, `at_once` of them at a time; what they
/// returned, in no order.
pub fn crowd<T: Send>(count: usize, at_once: usize, visit: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mine = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
        std::iter::from_fn(mine).map(&visit).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(take)).collect();
        // A scope ends with the panic of any of its threads.
        let results = threads.into_iter().filter_map(|thread| thread.join().ok());
        results.flatten().collect()
    })
}

/// What a list says that has each client whose last octet is between 2 and 99, that octet being the
/// code; 127.0.0.1, its other test point, and the rest of the world it does not have.
#[must_use]
pub fn by_last_octet(question: &Question) -> Reply {
    let octet = question
        .name
        .split('.')
        .next()
        .and_then(|label| label.parse().ok());
    match octet.filter(|octet| (2..100).contains(octet)) {
        Some(octet) => Reply::listed(&[[127, 0, 0, octet]], 300),
        None => Reply::unlisted(300),
    }
}
