//! Postfix's postscreen before Postfix's smtpd.

use anyhow::{Context, Result};
use portcullis_tests::{
    dnsbl::Rbldnsd,
    postfix::{Besides, Postfix},
};

use super::{Contestant, Running};
use crate::{port53::Port53, usage::Measured};

/// The processes of Postfix that are postscreen's.
pub(crate) const OWN: &[&str] = &["postscreen", "dnsblog", "tlsproxy"];

/// The list, whose answers may be remembered longer than a run takes.
const LIST: &str = "bl.example.test";
const ZONE: &str = "$SOA 86400 ns.bl.example.test hostmaster.bl.example.test 0 3600 600 86400 86400\n\
                    $NS 86400 ns.bl.example.test\n$TTL 86400\n:127.0.0.2:Listed\n127.0.0.2\n";

/// As little as it can wait: only clients that it knows already count.
const SETTINGS: &str = "postscreen_greet_wait = 1s\n\
                        postscreen_dnsbl_max_ttl = 1h\n\
                        postscreen_dnsbl_min_ttl = 1h\n";

pub(super) fn start() -> Result<Running> {
    let list = Rbldnsd::serving_text(LIST, "ip4set", ZONE)?;
    let port = Port53::before(list.address())?;
    let postfix = Postfix::start_with(&before_smtpd(LIST, &port, SETTINGS, ""))?;
    let address = postfix.besides().context("postscreen has no port")?;
    let measured = Measured {
        root: postfix.process().id(),
        named: OWN,
    };
    let root = measured.root;
    let parts = (postfix, port, list);
    let mut running = Running::new(Contestant::Postscreen, address, root, parts);
    running.measured = measured;
    Ok(running)
}

/// An instance whose service is postscreen before an smtpd with these options.
pub(crate) fn before_smtpd(list: &str, port: &Port53, settings: &str, smtpd: &str) -> Besides {
    Besides {
        settings: format!(
            "postscreen_dnsbl_sites = {list}\npostscreen_dnsbl_action = enforce\n\
             postscreen_greet_action = enforce\n\
             postscreen_client_connection_count_limit = 0\n\
             postscreen_cache_map = btree:$data_directory/postscreen_cache\n{settings}"
        ),
        // In a chroot dnsblog reads the resolver's address from there.
        daemons: format!(
            "smtpd pass - - n - - smtpd{smtpd}\ndnsblog unix - - y - 0 dnsblog\n\
             tlsproxy unix - - n - 0 tlsproxy\n"
        ),
        service: Some("n - n - 1 postscreen".into()),
        files: vec![(
            "etc/resolv.conf".into(),
            format!(
                "nameserver {}\noptions timeout:2 attempts:1\n",
                port.address().ip()
            ),
        )],
    }
}
