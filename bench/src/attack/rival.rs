//! The defences, each alone before, in or beside the same mail server.

use std::{
    any::Any,
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{Rbldnsd, Resolver, TESTERS, Zone, of_list},
    envoy::{EnvoyConfig, Guard, ToServer},
    postfix::{Besides, Postfix},
};
use serde_json::json;

use super::{
    Size, bot_address,
    fail2ban::{Banned, Fail2ban},
};
use crate::{
    contestant::{haproxy, postscreen},
    port53::Port53,
    usage::{Measured, Usage},
};

/// The blacklist, on which some of the bots are.
const LIST: &str = "bl.example.test";

/// What the server says of names that it does not know: the story's bots are answered 451.
const SMTPD: &str = " -o unknown_local_recipient_reject_code=451";

/// Postfix's own limits, tightened as far as honest mail bears.
const TUNED: &str = " -o smtpd_soft_error_limit=3 -o smtpd_hard_error_limit=5 \
                     -o smtpd_error_sleep_time=1s -o smtpd_client_connection_count_limit=10 \
                     -o smtpd_client_connection_rate_limit=60 \
                     -o smtpd_client_recipient_rate_limit=100 \
                     -o smtpd_client_event_limit_exceptions=";

/// Who defends the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// Nobody: Postfix with its own limits lifted, which stands behind all the others, too.
    Bare,
    /// Postfix itself, its limits tightened.
    Tuned,
    /// postscreen, with the blacklist.
    Postscreen,
    /// fail2ban, which reads Postfix's log.
    Fail2ban,
    /// HAProxy, which limits connections by client.
    Haproxy,
    /// The guard, with the blacklist.
    Portcullis,
}

impl Rival {
    /// Its name in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "postfix",
            Self::Tuned => "postfix-tuned",
            Self::Postscreen => "postscreen",
            Self::Fail2ban => "fail2ban",
            Self::Haproxy => "haproxy",
            Self::Portcullis => "portcullis",
        }
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// A server and its defence, both new.
pub(super) struct Stage {
    /// Where everybody connects.
    pub(super) address: SocketAddr,
    /// Whom a firewall would not let in.
    pub(super) banned: Banned,
    postfix: Postfix,
    front: Option<Measured>,
    list: Option<Rbldnsd>,
    _parts: Box<dyn Any>,
}

/// What both took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) server: Usage,
    pub(super) front: Usage,
}

impl Stage {
    /// Starts them.
    pub(super) fn set(rival: Rival, size: Size) -> Result<Self> {
        match rival {
            Rival::Bare => Self::smtpd(SMTPD),
            Rival::Tuned => Self::smtpd(&format!("{SMTPD}{TUNED}")),
            Rival::Postscreen => Self::postscreen(size),
            Rival::Fail2ban => Self::fail2ban(),
            Rival::Haproxy => Self::haproxy(),
            Rival::Portcullis => Self::portcullis(size),
        }
    }

    fn new(postfix: Postfix, address: SocketAddr, parts: impl Any) -> Self {
        Self {
            address,
            banned: Banned::default(),
            postfix,
            front: None,
            list: None,
            _parts: Box::new(parts),
        }
    }

    fn smtpd(options: &str) -> Result<Self> {
        let (postfix, address) = postfix(&format!("n - n - - smtpd{options}"))?;
        Ok(Self::new(postfix, address, ()))
    }

    fn postscreen(size: Size) -> Result<Self> {
        let list = Rbldnsd::serving(&[zone(size)])?;
        let port = Port53::before(list.address())?;
        let postfix = Postfix::start_with(&postscreen::before_smtpd(LIST, &port, "", SMTPD))?;
        let address = postfix.besides().context("postscreen has no port")?;
        let front = Measured {
            root: postfix.process().id(),
            named: postscreen::OWN,
        };
        let mut stage = Self::new(postfix, address, port);
        stage.front = Some(front);
        stage.list = Some(list);
        Ok(stage)
    }

    fn fail2ban() -> Result<Self> {
        let (postfix, address) = postfix(&format!("n - n - - smtpd{SMTPD}"))?;
        let (fail2ban, banned) = Fail2ban::watching(postfix.log().path())?;
        let front = Measured::all_of(fail2ban.process.id());
        let mut stage = Self::new(postfix, address, fail2ban);
        stage.banned = banned;
        stage.front = Some(front);
        Ok(stage)
    }

    /// The server is told the client by the PROXY protocol, as it is behind the guard.
    fn haproxy() -> Result<Self> {
        let (postfix, server) = behind_proxy()?;
        let limits =
            "tcp-request connection reject if { sc0_conn_cur gt 5 } or { sc0_conn_rate gt 30 }";
        let running = haproxy::start_limiting(server, 1, limits, haproxy::ToServer::Proxy)?;
        let mut stage = Self::new(postfix, running.address, ());
        stage.front = Some(running.measured);
        stage._parts = Box::new(running);
        Ok(stage)
    }

    fn portcullis(size: Size) -> Result<Self> {
        let (postfix, server) = behind_proxy()?;
        let list = Rbldnsd::serving(&[zone(size)])?;
        let resolver = Resolver::Dnsdist.before(list.address(), LIST)?;
        let policy = json!({ "dnsbl": { "sites": [LIST], "reserved": "ask" } });
        let config = EnvoyConfig::before(server, Guard::with_policy(policy)?)
            .to_server(ToServer::ProxyV1)
            .dnsbl(resolver.address());
        let mut envoy = config.start()?;
        wait_for("the list to be used", PATIENCE, || {
            let count = envoy.admin().count(&of_list("site_on", LIST))?;
            Ok(match count >= TESTERS {
                true => Seen::Done(()),
                false => Seen::NotYet(count.to_string()),
            })
        })?;
        let mut stage = Self::new(postfix, envoy.address(), ());
        stage.front = Some(Measured::all_of(envoy.process().id()));
        stage.list = Some(list);
        stage._parts = Box::new((envoy, resolver));
        Ok(stage)
    }

    /// What they took so far.
    pub(super) fn usage(&self) -> Result<Cost> {
        let all = Measured::all_of(self.postfix.process().id()).usage()?;
        let front = self
            .front
            .map_or(Ok(Usage::default()), |front| front.usage())?;
        // postscreen is one of Postfix's own processes.
        let inside = self.front.is_some_and(|front| !front.named.is_empty());
        let server = Usage {
            cpu: all.cpu - if inside { front.cpu } else { 0.0 },
            ..all
        };
        Ok(Cost { server, front })
    }

    /// Unknown recipients that the server looked up, by its log.
    pub(super) fn lookups(&self) -> Result<usize> {
        let log = self.postfix.log().text()?;
        let looked_up = |line: &&str| line.contains("/smtpd[") && line.contains(": User unknown");
        Ok(log.lines().filter(looked_up).count())
    }

    /// Questions about clients that the blacklist got, if there is one.
    pub(super) fn questions(&self) -> Result<Option<usize>> {
        let list = self.list.as_ref();
        Ok(list
            .map(|list| list.asked_about_clients(LIST))
            .transpose()?)
    }
}

fn postfix(service: &str) -> Result<(Postfix, SocketAddr)> {
    let besides = Besides {
        service: Some(service.to_owned()),
        ..Besides::default()
    };
    let postfix = Postfix::start_with(&besides)?;
    let address = postfix.besides().context("smtpd has no port")?;
    Ok((postfix, address))
}

fn behind_proxy() -> Result<(Postfix, SocketAddr)> {
    postfix(&format!(
        "n - n - - smtpd{SMTPD} -o smtpd_upstream_proxy_protocol=haproxy"
    ))
}

/// The blacklist has only some of the bots.
fn zone(size: Size) -> Zone {
    let listed = (0..size.bots).filter(|bot| Size::is_listed(*bot));
    listed.fold(Zone::new(LIST), |zone, bot| {
        let client = ipnet::Ipv4Net::from(bot_address(bot));
        zone.lists(client, Ipv4Addr::new(127, 0, 0, 2), "a bot")
    })
}
