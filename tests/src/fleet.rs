//! What several guards share: Redis behind Webdis, as the guard's operators run them.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Error,
    deadline::{Seen, wait_for},
    dnsbl::free_port,
    paths,
    process::Process,
};

/// How long either may take to start or to die.
const PATIENCE: Duration = Duration::from_secs(10);

/// Redis, empty and in memory only, and Webdis before it.
#[derive(Debug)]
pub struct Store {
    webdis: Process,
    redis: Process,
    redis_at: SocketAddr,
    webdis_at: SocketAddr,
    directory: TempDir,
}

impl Store {
    /// Starts both on free loopback ports; whoever comes may do anything.
    ///
    /// # Errors
    /// Whatever keeps one of them from answering.
    pub fn start() -> Result<Self, Error> {
        let mut store = Self::run(
            "save \"\"\nappendonly no\n".to_owned(),
            json!({ "threads": 2, "pool_size": 4, "daemonize": false, "database": 0 }),
        )?;
        store.answers()?;
        Ok(store)
    }

    /// Starts both with the configurations in `envoy/fleet`, which grant the guard what it needs.
    ///
    /// # Errors
    /// As [`Store::start`].
    pub fn with_least_rights() -> Result<Self, Error> {
        let read = |name| {
            let path = paths::repository().join("envoy/fleet").join(name);
            fs::read_to_string(&path).map_err(Error::file(path))
        };
        let webdis = serde_json::from_str(&read("webdis.json")?).unwrap_or_default();
        Self::configured(read("redis.conf")?, webdis)
    }

    /// Starts both with these configurations, of which only addresses and places are changed.
    ///
    /// # Errors
    /// As [`Store::start`].
    pub fn configured(redis_conf: String, webdis: Value) -> Result<Self, Error> {
        let mut store = Self::run(redis_conf, webdis)?;
        // It answers nobody without a password.
        for at in [store.redis_at, store.webdis_at] {
            store.listens(at)?;
        }
        Ok(store)
    }

    fn run(redis_conf: String, mut webdis: Value) -> Result<Self, Error> {
        let made = tempfile::Builder::new()
            .prefix("portcullis-store-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let (redis_at, webdis_at) = (free_port()?, free_port()?);
        let path = directory.path().join("redis.conf");
        // What comes later counts.
        let own = format!(
            "{redis_conf}\nbind 127.0.0.1\nport {}\ndir {}\n",
            redis_at.port(),
            directory.path().display()
        );
        fs::write(&path, own).map_err(Error::file(&path))?;
        let redis = start_redis(&directory)?;
        if let Some(fields) = webdis.as_object_mut() {
            let own = json!({
                "redis_host": "127.0.0.1", "redis_port": redis_at.port(),
                "http_host": "127.0.0.1", "http_port": webdis_at.port(),
                "logfile": directory.path().join("webdis-own.log"),
            });
            fields.extend(own.as_object().cloned().unwrap_or_default());
        }
        let path = directory.path().join("webdis.json");
        fs::write(&path, webdis.to_string()).map_err(Error::file(&path))?;
        let mut command = Command::new(paths::on_path("webdis")?);
        command.arg(&path);
        let log = directory.path().join("webdis.log");
        Ok(Self {
            webdis: Process::start("webdis", command, &log)?,
            redis,
            redis_at,
            webdis_at,
            directory,
        })
    }

    /// Where Webdis listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.webdis_at
    }

    /// Where Redis itself listens.
    #[must_use]
    pub fn redis_address(&self) -> SocketAddr {
        self.redis_at
    }

    /// What Redis answers to a command, as Webdis writes it; null where it answers nothing.
    pub fn ask(&self, words: &[&str]) -> Value {
        let path: Vec<String> = words.iter().map(|word| escape(word)).collect();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            .build();
        let url = format!("http://{}/{}", self.webdis_at, path.join("/"));
        let answer = ureq::Agent::new_with_config(agent).get(url).call();
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        let value = text.map(|text| serde_json::from_str::<Value>(&text).unwrap_or_default());
        let verb = words.first().copied().unwrap_or_default();
        let mut value = value.unwrap_or_default();
        value.get_mut(verb).map(Value::take).unwrap_or_default()
    }

    /// Kills Redis; what it held is lost.
    ///
    /// # Errors
    /// [`Error::Late`] if it does not die.
    pub fn kill_redis(&mut self) -> Result<(), Error> {
        self.redis.signal(Signal::SIGKILL)?;
        self.redis.wait(PATIENCE).map(drop)
    }

    /// Starts Redis again where it was.
    ///
    /// # Errors
    /// As [`Store::start`].
    pub fn start_redis(&mut self) -> Result<(), Error> {
        self.redis = start_redis(&self.directory)?;
        self.listens(self.redis_at)
    }

    /// Stops or continues Webdis, which then answers nobody but lets everybody connect.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it is gone.
    pub fn signal_webdis(&self, signal: Signal) -> Result<(), Error> {
        self.webdis.signal(signal)
    }

    /// Whether both still run.
    ///
    /// # Errors
    /// [`Error::Ended`] if one does not.
    pub fn still_runs(&mut self) -> Result<(), Error> {
        self.redis.still_runs()?;
        self.webdis.still_runs()
    }

    fn listens(&mut self, at: SocketAddr) -> Result<(), Error> {
        wait_for("the store to listen", PATIENCE, || {
            self.still_runs()?;
            Ok(match TcpStream::connect(at) {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
    }

    fn answers(&mut self) -> Result<(), Error> {
        wait_for("an answer from Webdis", PATIENCE, || {
            self.still_runs()?;
            match self.ask(&["PING"]) {
                Value::Array(_) => Ok(Seen::Done(())),
                other => Ok(Seen::NotYet(other.to_string())),
            }
        })
    }
}

fn start_redis(directory: &TempDir) -> Result<Process, Error> {
    let mut command = Command::new(paths::on_path("redis-server")?);
    command.arg(directory.path().join("redis.conf"));
    Process::start("redis-server", command, &directory.path().join("redis.log"))
}

/// A word between the slashes of a path (RFC 3986 section 2.1).
fn escape(word: &str) -> String {
    let octets = word.bytes();
    octets
        .map(|octet| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(octet).to_string(),
            _ => format!("%{octet:02X}"),
        })
        .collect()
}
