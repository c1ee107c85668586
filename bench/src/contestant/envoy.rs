//! Envoy, bare and with each of the filters.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{FakeDoh, Reply, TESTERS, of_list, test_point},
    envoy::{Admin, EnvoyConfig, Guard},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Contestant, Running, Surroundings};

const LIST: &str = "bl.example.test";
/// How long answers may be remembered: longer than a run.
const TTL_S: u32 = 3600 * 24;

/// A resolver with one list, on which nobody is that takes part in the measurements of honest mail.
#[derive(Debug)]
pub struct Lists {
    resolver: FakeDoh,
}

impl Lists {
    /// Starts it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start() -> Result<Self> {
        let resolver = FakeDoh::answering(|question: &portcullis_tests::dnsbl::Question| {
            test_point(question).unwrap_or_else(|| Reply::unlisted(TTL_S))
        })?;
        Ok(Self { resolver })
    }

    /// How many questions about clients it has been asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.resolver.asked_about_clients(LIST)
    }
}

/// The built filters that are no guard.
#[derive(Debug)]
pub struct Filters {
    directory: TempDir,
}

impl Filters {
    /// Builds them from their text.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write() -> Result<Self> {
        let filters = Self {
            directory: tempfile::Builder::new()
                .prefix("portcullis-bench-")
                .tempdir()?,
        };
        for (name, text) in [
            ("noop", include_str!("../../filters/noop.wat")),
            ("reader", include_str!("../../filters/reader.wat")),
        ] {
            fs::write(filters.path(name), wat::parse_str(text).context(name)?)?;
        }
        Ok(filters)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.wasm"))
    }
}

/// The guard's policy with everything on that costs something in a good session: rules enforced,
/// the ledger, records, and a list.
#[must_use]
pub fn everything_on() -> Value {
    json!({
        "mode": "enforce",
        "record": { "sessions": "all" },
        "dnsbl": { "sites": [LIST], "reserved": "ask" },
        "tarpit": { "delay_ms": 100, "sessions": 200 },
        "traps": { "recipients": ["trap@example.test"] }
    })
}

pub(super) fn start(
    contestant: Contestant,
    around: &Surroundings,
    server: SocketAddr,
    workers: usize,
) -> Result<Running> {
    let filter = |name| Guard::Present {
        wasm: around.filters.path(name),
        policy: json!({}),
    };
    let guard = match contestant {
        Contestant::Noop => filter("noop"),
        Contestant::Reader => filter("reader"),
        Contestant::Observe => Guard::with_policy(json!({ "mode": "observe" }))?,
        Contestant::Default => Guard::with_defaults()?,
        Contestant::Portcullis => Guard::with_policy(everything_on())?,
        _ => Guard::Absent,
    };
    let mut config = EnvoyConfig::before(server, guard).workers(workers);
    if contestant == Contestant::Portcullis {
        config = config.dnsbl(around.lists.resolver.address());
    }
    let mut envoy = config.start()?;
    if contestant == Contestant::Portcullis {
        wait_until_it_asks(envoy.admin(), workers)?;
    }
    let (address, root) = (envoy.address(), envoy.process().id());
    Ok(Running::new(contestant, address, root, envoy))
}

/// Until each machine has tested the list: only then are clients asked about.
fn wait_until_it_asks(admin: &Admin, workers: usize) -> Result<()> {
    // The main thread has a machine too; `TESTERS` is for two workers.
    let machines = TESTERS + u64::try_from(workers)? - 2;
    wait_for("the list to be used", PATIENCE, || {
        let count = admin.count(&of_list("site_on", LIST))?;
        Ok(match count >= machines {
            true => Seen::Done(()),
            false => Seen::NotYet(format!("{count} of {machines}")),
        })
    })?;
    Ok(())
}
