//! Postfix's configuration: only the guard may cut a session, so its own limits are lifted.

use std::{
    fmt::Write as _,
    fs::{self, Permissions},
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::unistd::{Uid, User};

use super::mailboxes;
use crate::{Error, paths, tls::Certificate};

/// The ways a mail server meets an unknown recipient, and the one that reads PROXY headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Answers `550 5.1.1`.
    Unknown550,
    /// Answers `451 4.1.1`.
    Unknown451,
    /// Answers `550 5.1.1` and expects a PROXY protocol header.
    BehindProxy,
    /// Answers `550 5.1.1` and offers STARTTLS of its own.
    OffersTls,
    /// Answers `550 5.1.1`, under TLS from the first byte on.
    UnderTls,
}

const SERVICES: [Service; 5] = [
    Service::Unknown550,
    Service::Unknown451,
    Service::BehindProxy,
    Service::OffersTls,
    Service::UnderTls,
];

/// What one instance has besides what all have.
#[derive(Debug, Clone, Default)]
pub struct Besides {
    /// Lines of `main.cf`; they take the place of those that all have.
    pub settings: String,
    /// Lines of `master.cf`.
    pub daemons: String,
    /// One more service on a free port: what `master.cf` says of it behind its address and `inet`.
    pub service: Option<String>,
    /// Files below the queue's directory, which is the root of what runs in a chroot.
    pub files: Vec<(PathBuf, String)>,
}

/// Who listens where.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) services: Vec<(Service, SocketAddr)>,
    /// The one of [`Besides`].
    pub(super) besides: Option<SocketAddr>,
}

/// Postfix's own daemons that an SMTP session and a delivery to nowhere need (master.cf format).
const DAEMONS: &str = "\
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
";

/// What `main.cf` says besides the paths.
const SETTINGS: &str = "\
compatibility_level = 3.6
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination = example.test
mynetworks = 127.0.0.99/32
inet_interfaces = 127.0.0.1
inet_protocols = all
alias_maps =
alias_database =
local_transport = discard:
default_transport = error:no outbound mail here
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
disable_dns_lookups = yes
# Else a session that ends without DATA holds the next ones back.
in_flow_delay = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_junk_command_limit = 100000
smtpd_recipient_overshoot_limit = 100000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
default_process_limit = 200
message_size_limit = 0
mailbox_size_limit = 0
";

/// The queue's directories, as Postfix's own `postfix-files` lists them. Made here, because
/// `postfix check` takes two seconds for them.
const QUEUES: [&str; 13] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "private", "public", "saved", "trace",
];

/// Where the configuration is in the instance's directory.
pub(super) fn etc(directory: &Path) -> PathBuf {
    directory.join("etc")
}

/// Where the log is.
pub(super) fn maillog(directory: &Path) -> PathBuf {
    directory.join("maillog")
}

/// Its certificate.
pub(super) fn certificate(directory: &Path) -> Certificate {
    Certificate::in_directory(directory.join("tls"))
}

/// Writes the configuration and says which service listens where.
///
/// # Errors
/// [`Error::File`] if something cannot be written; [`Error::Missing`] if Postfix or its user is
/// not installed.
pub(super) fn write(directory: &Path, besides: &Besides) -> Result<Written, Error> {
    let spool = directory.join("spool");
    for place in [etc(directory), spool.clone(), spool.join("pid")] {
        fs::create_dir(&place).map_err(Error::file(&place))?;
    }
    let owner = owner()?;
    Certificate::make(certificate(directory).directory())?;
    let queues = QUEUES.iter().map(|queue| spool.join(queue));
    for place in queues.chain([directory.join("data")]) {
        fs::create_dir(&place).map_err(Error::file(&place))?;
        chown(&place, Some(owner.as_raw()), None).map_err(Error::file(&place))?;
    }
    // Postfix's own user must reach the directories below.
    fs::set_permissions(directory, Permissions::from_mode(0o755))
        .map_err(Error::file(directory))?;

    for (file, text) in &besides.files {
        let file = spool.join(file);
        let place = file.parent().unwrap_or(&spool);
        fs::create_dir_all(place).map_err(Error::file(place))?;
        write_file(&file, text)?;
    }

    let mut services = Vec::new();
    let mut master = DAEMONS.to_owned() + &besides.daemons;
    let mut addresses = free_addresses(SERVICES.len() + 1)?.into_iter();
    for (service, address) in SERVICES.into_iter().zip(addresses.by_ref()) {
        // Writing to a String cannot fail.
        let _ = writeln!(master, "{address} inet n - n - - smtpd{}", options(service));
        services.push((service, address));
    }
    let more = besides.service.as_ref().zip(addresses.next());
    if let Some((service, address)) = more {
        let _ = writeln!(master, "{address} inet {service}");
    }
    write_file(&etc(directory).join("master.cf"), &master)?;
    let settings = main_cf(directory)? + &besides.settings;
    write_file(&etc(directory).join("main.cf"), &settings)?;
    Ok(Written {
        services,
        besides: more.map(|(_, address)| address),
    })
}

fn main_cf(directory: &Path) -> Result<String, Error> {
    let daemons = paths::on_path("master")?;
    let known: Vec<String> = mailboxes()
        .iter()
        .map(|name| format!("{name}=ok"))
        .collect();
    Ok(format!(
        "{SETTINGS}\
         queue_directory = {at}/spool\n\
         data_directory = {at}/data\n\
         daemon_directory = {daemons}\n\
         maillog_file = {log}\n\
         maillog_file_prefixes = {at}\n\
         smtpd_tls_chain_files = {key}, {chain}\n\
         local_recipient_maps = inline:{{ {known} }}\n",
        at = directory.display(),
        key = certificate(directory).key().display(),
        chain = certificate(directory).chain().display(),
        daemons = daemons.parent().unwrap_or(Path::new("/")).display(),
        log = maillog(directory).display(),
        known = known.join(", "),
    ))
}

fn options(service: Service) -> &'static str {
    match service {
        Service::Unknown550 => "",
        Service::Unknown451 => " -o unknown_local_recipient_reject_code=451",
        Service::BehindProxy => " -o smtpd_upstream_proxy_protocol=haproxy",
        Service::OffersTls => " -o smtpd_tls_security_level=may",
        Service::UnderTls => " -o smtpd_tls_wrappermode=yes",
    }
}

/// Picks ports by binding them all at once, so that they differ.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Error> {
    let bound = || {
        let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()
    };
    bound().map_err(|source| Error::Address {
        address: "127.0.0.1:0".into(),
        source,
        flag: "nothing; free some ports",
    })
}

/// The user that Postfix's processes run as.
fn owner() -> Result<Uid, Error> {
    let user = User::from_name("postfix").ok().flatten();
    user.map(|user| user.uid).ok_or_else(|| Error::Missing {
        what: "the user postfix",
        path: "/etc/passwd".into(),
        variable: "PATH",
        mend: "make setup",
    })
}

/// Writes a file dated a minute back: Postfix waits up to two seconds for a file to settle that is
/// as young as the moment.
fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
    };
    write().map_err(Error::file(path))
}
